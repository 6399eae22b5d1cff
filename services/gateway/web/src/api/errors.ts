/** What went wrong, and what to do about it, in the words of the server where it has any. */
export class ApiError extends Error {
  readonly status: number;
  readonly code: string;
  readonly hint: string;
  /** Seconds after which it is worth trying again, if the server has said so. */
  readonly retryAfterS: number | null;

  constructor(message: string, options: { status?: number; code?: string; hint?: string; retryAfterS?: number | null }) {
    super(message);
    this.name = "ApiError";
    this.status = options.status ?? 0;
    this.code = options.code ?? "";
    this.hint = options.hint ?? "";
    this.retryAfterS = options.retryAfterS ?? null;
  }

  /** Message and hint as one text. */
  get text(): string {
    return [this.message, this.hint].filter(Boolean).join(" ");
  }
}

export const UNAVAILABLE = "The server is not available.";

export function unavailable(): ApiError {
  return new ApiError(UNAVAILABLE, { code: "unavailable", hint: "Ask whoever runs it." });
}

/** Read the error of a response; an answer that is not the gateway's own has only a status. */
export async function responseError(response: Response): Promise<ApiError> {
  const body: unknown = await response.json().catch(() => ({}));
  const fields = (typeof body === "object" && body !== null ? body : {}) as Record<string, unknown>;
  const text = (name: string) => (typeof fields[name] === "string" ? (fields[name] as string) : "");
  const retry = Number(response.headers.get("Retry-After"));
  return new ApiError(text("message") || `The server responded with status ${response.status}.`, {
    status: response.status,
    code: text("code"),
    hint: text("hint"),
    retryAfterS: Number.isFinite(retry) && retry > 0 ? retry : null,
  });
}

/** The text of whatever was thrown. */
export function errorText(error: unknown): string {
  if (error instanceof ApiError) return error.text;
  return error instanceof Error ? error.message : String(error);
}
