/** The token of HTTP: a file for its owner alone, made once and kept, so that hosts' entries go on working. */
import { Effect } from "effect"
import * as fs from "node:fs"
import { HttpUnusable } from "../PoolError.ts"
import { httpTokenFile } from "../RuntimeDir.ts"

/** Reads it, or makes it where it is missing. */
export const load = (runtimeDir: string): Effect.Effect<string, HttpUnusable> =>
  Effect.suspend(() => {
    const file = httpTokenFile(runtimeDir)
    const unusable = (reason: string) => Effect.fail(new HttpUnusable({ what: file, reason }))
    try {
      const token = read(file) ?? make(file)
      if (token === undefined)
        return unusable("it must be a plain file of this user: remove it, and another one is made")
      if (token.length < minLength || /[^\x21-\x7e]/.test(token)) {
        return unusable(`it must hold one word of at least ${minLength} characters: remove it, and another one is made`)
      }
      return Effect.succeed(token)
    } catch (cause) {
      return unusable((cause as Error).message)
    }
  })

/** Null where there is none, undefined where something else is there. A link may lead anywhere, and a pipe may hang. */
const read = (file: string): string | null | undefined => {
  const there = fs.lstatSync(file, { throwIfNoEntry: false })
  if (there === undefined) return null
  if (!there.isFile() || there.uid !== process.getuid?.() || there.size > maxSize) return undefined
  if ((there.mode & 0o077) !== 0) fs.chmodSync(file, 0o600)
  return fs.readFileSync(file, "utf8").trim()
}

const make = (file: string): string => {
  const token = Buffer.from(crypto.getRandomValues(new Uint8Array(32))).toString("base64url")
  fs.writeFileSync(file, `${token}\n`, { mode: 0o600, flag: "wx" })
  return token
}

const minLength = 16
/** Bytes. */
const maxSize = 1024
