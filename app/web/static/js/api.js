// The one way to the API: cookies with the double submit, renewal of an expired sign-in, repeats, errors as ApiError.

const TRIES = 4;
const LONGEST_WAIT = 15; // seconds
const REPEATABLE = ["GET", "HEAD", "PUT", "DELETE"];
let renewing = null;

export class ApiError extends Error {
  constructor(status, { code = "error", message = "Something went wrong.", details = {} } = {}) {
    super(message);
    Object.assign(this, { status, code, details });
  }
}

/**
 * Calls the API and returns what it answers, parsed; null for 204.
 *
 * `json` is sent as JSON, `form` as it is. What is safe to repeat is repeated when the platform asks for time (429,
 * 503) or cannot be reached; a POST only with `key`, which goes along as its Idempotency-Key, or with `repeat`.
 */
export async function api(path, { method = "GET", json, form, key, repeat, signal } = {}) {
  const response = await send(path, { method, json, form, key, repeat, signal });
  return response.status === 204 ? null : response.json();
}

/** The same, but the answer as it is: for files. */
export async function send(path, { method = "GET", json, form, key, repeat, signal } = {}) {
  const repeatable = REPEATABLE.includes(method) || repeat || key !== undefined;
  for (let attempt = 1; ; attempt += 1) {
    const response = await once(path, { method, json, form, key, signal });
    if (response?.ok) return response;
    if (response?.status === 401 && (await renewed()) && attempt < TRIES) continue;
    if (response?.status === 401) await toSignIn();
    const worth = !response || response.status === 503 || response.status === 429;
    if (!worth || !repeatable || attempt === TRIES) throw await problem(response);
    const asked = Number(response?.headers.get("Retry-After") ?? 2 ** (attempt - 1));
    await new Promise((resolve) => setTimeout(resolve, Math.min(asked, LONGEST_WAIT) * 1000));
  }
}

/** Uploads a form and tells how far it is, `progress(share)` from 0 to 1; `signal` breaks it off. */
export async function upload(path, form, { progress = () => {}, signal } = {}) {
  for (let attempt = 1; ; attempt += 1) {
    const { status, answer, wait } = await post(path, form, progress, signal);
    if (status >= 200 && status < 300) return answer;
    if (status === 401 && attempt < TRIES && (await renewed())) continue;
    if (status === 401) await toSignIn();
    if (status !== 503 || attempt === TRIES) throw new ApiError(status, answer?.error ?? unreachable());
    await new Promise((resolve) => setTimeout(resolve, wait * 1000));
  }
}

export function cookie(name) {
  const found = document.cookie.split("; ").find((one) => one.startsWith(`${name}=`));
  return found ? decodeURIComponent(found.slice(name.length + 1)) : null;
}

async function once(path, { method, json, form, key, signal }) {
  const headers = { Accept: "application/json" };
  if (!["GET", "HEAD"].includes(method)) headers["X-CSRF-TOKEN"] = cookie("csrf_access_token") ?? "";
  if (json !== undefined) headers["Content-Type"] = "application/json";
  if (key !== undefined) headers["Idempotency-Key"] = key;
  try {
    return await fetch(path, { method, headers, body: json === undefined ? form : JSON.stringify(json), signal });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    return null; // not reached
  }
}

function post(path, form, progress, signal) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest(); // fetch does not tell how much has been sent
    request.open("POST", path);
    request.responseType = "json";
    request.setRequestHeader("Accept", "application/json");
    request.setRequestHeader("X-CSRF-TOKEN", cookie("csrf_access_token") ?? "");
    request.upload.addEventListener("progress", (event) => progress(event.total ? event.loaded / event.total : 0));
    request.addEventListener("load", () => {
      const wait = Number(request.getResponseHeader("Retry-After") ?? 2);
      resolve({ status: request.status, answer: request.response, wait: Math.min(wait, LONGEST_WAIT) });
    });
    request.addEventListener("error", () => resolve({ status: 0, answer: null, wait: 2 }));
    request.addEventListener("abort", () => reject(new DOMException("broken off", "AbortError")));
    signal?.addEventListener("abort", () => request.abort());
    request.send(form);
  });
}

/** Renews the sign-in, once for all who ask at the same time. */
function renewed() {
  renewing ??= renew().finally(() => {
    renewing = null;
  });
  return renewing;
}

async function renew() {
  const token = cookie("csrf_refresh_token");
  if (!token) return false;
  const response = await fetch("/login/renew", { method: "POST", headers: { "X-CSRF-TOKEN": token } });
  return response.ok;
}

function toSignIn() {
  location.assign(`/login?next=${encodeURIComponent(location.pathname + location.search)}`);
  return new Promise(() => {}); // the page is on its way out
}

async function problem(response) {
  if (!response) return new ApiError(0, unreachable());
  const answer = await response.json().catch(() => ({}));
  return new ApiError(response.status, answer.error);
}

function unreachable() {
  return { code: "unreachable", message: "The platform cannot be reached. Check the connection and try again." };
}
