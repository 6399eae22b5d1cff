// HEAD is wherever GET is; the rows would only be in the way.
const withoutHead = (operations) => operations.filter((operation) => operation.get("method") !== "head");
const hideHead = () => ({
  statePlugins: {
    spec: {
      wrapSelectors: {
        taggedOperations: (original) => (state, ...more) =>
          original(state, ...more).map((tag) => tag.update("operations", withoutHead)),
      },
    },
  },
});

SwaggerUIBundle({
  url: "/openapi.json",
  dom_id: "#swagger-ui",
  deepLinking: true,
  validatorUrl: null,
  plugins: [hideHead],
});
