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
      const there = fs.lstatSync(file, { throwIfNoEntry: false })
      if (there === undefined) return Effect.succeed(make(file))
      if (!isOwn(there)) return unusable("it must be a plain file of this user: remove it, and another one is made")
      const isOpen = (there.mode & 0o077) !== 0
      if (isOpen) fs.chmodSync(file, 0o600)
      const token = fs.readFileSync(file, "utf8").trim()
      if (token.length < minLength || /[^\x21-\x7e]/.test(token)) {
        return unusable(`it must hold one word of at least ${minLength} characters: remove it, and another one is made`)
      }
      return isOpen ? Effect.as(Effect.logWarning(wasOpen(file)), token) : Effect.succeed(token)
    } catch (cause) {
      return unusable((cause as Error).message)
    }
  })

/** A link may lead anywhere, and a pipe may hang. */
const isOwn = (there: fs.Stats): boolean => there.isFile() && there.uid === process.getuid?.() && there.size <= maxSize

const wasOpen = (file: string): string =>
  `others could read ${file}, and cannot any more: remove it before the next start if they may have, and another one is made`

const make = (file: string): string => {
  const token = Buffer.from(crypto.getRandomValues(new Uint8Array(32))).toString("base64url")
  fs.writeFileSync(file, `${token}\n`, { mode: 0o600, flag: "wx" })
  return token
}

const minLength = 16
/** Bytes. */
const maxSize = 1024
