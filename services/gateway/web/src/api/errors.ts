export interface FieldProblem {
  field: string;
  problem: string;
}

/** What went wrong, and what to do about it, in the words of the server where it has any. */
export class ApiError extends Error {
  readonly status: number;
  readonly code: string;
  readonly hint: string;
  /** Seconds after which it is worth trying again, if the server has said so. */
  readonly retryAfterS: number | null;
  /** Which fields of the request are wrong, and why. */
  readonly fields: readonly FieldProblem[];

  constructor(message: string, options: Partial<Pick<ApiError, "status" | "code" | "hint" | "retryAfterS" | "fields">>) {
    super(message);
    this.name = "ApiError";
    this.status = options.status ?? 0;
    this.code = options.code ?? "";
    this.hint = options.hint ?? "";
    this.retryAfterS = options.retryAfterS ?? null;
    this.fields = options.fields ?? [];
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
  const body: unknown = await response.json().catch(() => null);
  return errorOf(response.status, body, response.headers.get("Retry-After"));
}

/** The error that an answer's status, body and header describe. */
export function errorOf(status: number, body: unknown, retryAfter: string | null): ApiError {
  const found = isRecord(body) ? body : {};
  const text = (name: string) => (typeof found[name] === "string" ? found[name] : "");
  const retry = Number(retryAfter);
  const fields: unknown = isRecord(found.details) ? found.details.fields : [];
  return new ApiError(text("message") || `The server responded with status ${status}.`, {
    status,
    code: text("code"),
    hint: text("hint"),
    retryAfterS: Number.isFinite(retry) && retry > 0 ? retry : null,
    fields: Array.isArray(fields) ? fields.filter(isFieldProblem) : [],
  });
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null;
}

function isFieldProblem(value: unknown): value is FieldProblem {
  return isRecord(value) && typeof value.field === "string" && typeof value.problem === "string";
}

/** The text of whatever was thrown. */
export function errorText(error: unknown): string {
  if (error instanceof ApiError) return error.text;
  return error instanceof Error ? error.message : String(error);
}
