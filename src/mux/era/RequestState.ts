/**
 * The state that goes with a question to a modern client, and comes back with its answer: a handle that nobody can guess,
 * signed with a key of this daemon's own, and worth nothing after its time. Pure, but for the key.
 *
 * https://modelcontextprotocol.io/specification/2026-07-28/basic/patterns/mrtr
 */
import type * as Crypto from "node:crypto"

/** How long a call is held for its client's answer, in milliseconds. */
export const maxHeld = 60_000

/** A handle for a call. */
export const makeHandle = (): string => crypto().randomBytes(16).toString("base64url")

/** What it says. */
export interface State {
  readonly handle: string
  /** How often its client has been asked: each state is good for one answer. */
  readonly round: number
  /** Milliseconds since the epoch. */
  readonly until: number
}

/** The state as text, of a server's own. */
export const sign = (server: string, { handle, round, until }: State): string => {
  const text = `${handle}.${round}.${until}`
  return `${text}.${signatureOf(server, text).toString("base64url")}`
}

/** What a text says; null where it was not signed here for this server, or is too old at `now`. */
export const verify = (server: string, text: string, now: number): State | null => {
  const found = /^([\w-]{22})\.(\d{1,9})\.(\d{1,16})\.([\w-]{43})$/.exec(text)
  if (found === null) return null
  const [, handle = "", round, until, signature = ""] = found
  const wanted = signatureOf(server, text.slice(0, -signature.length - 1))
  if (!crypto().timingSafeEqual(wanted, Buffer.from(signature, "base64url"))) return null
  return Number(until) < now ? null : { handle, round: Number(round), until: Number(until) }
}

const signatureOf = (server: string, text: string): Buffer =>
  crypto()
    .createHmac("sha256", (key ??= crypto().randomBytes(32)))
    .update(`${server}\n${text}`)
    .digest()

// An import of it touches all that it exports, which costs each start of the daemon milliseconds.
const crypto = (): typeof Crypto => process.getBuiltinModule("node:crypto")

let key: Buffer | null = null
