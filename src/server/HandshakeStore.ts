/**
 * What servers said of themselves last, across restarts of the daemon: the answer to `initialize` and whole lists, so that
 * sessions are answered while a process starts, or before there is one. A file for each fingerprint, in a pool's directory.
 */
import { Option, Schema } from "effect"
import type { ServerSpec } from "../config/ServerSpec.ts"
import * as KnownFile from "./KnownFile.ts"
import { type Handshake, handshakeOf } from "./Handshake.ts"

/** The last good answers of a server. */
export interface Answers {
  readonly handshake: Handshake
  /** Results by method, as the server wrote them: JSON text on a line, as latin-1. */
  readonly lists: ReadonlyMap<string, string>
}

/** One server's. */
export interface HandshakeStore {
  /** What is known; null where nothing is. */
  readonly read: () => Answers | null
  /** Keeps it, in place of what was known before; more than 8 MiB is not kept. */
  readonly write: (answers: Answers) => void
}

/** The store of a server in a pool's directory; null where nothing is kept, as where there is no directory. */
export const make = (directory: string | null, spec: ServerSpec): HandshakeStore | null => {
  const { extraEnv, sessionFile } = spec.pool
  // What the pool adds of its own may be another account's, and does not show in a fingerprint.
  const isPlain = Object.keys(extraEnv).length === 0 && sessionFile === undefined
  if (directory === null || !isPlain) return null
  const folder = { directory, name: "handshakes", maxSize: 8 * 1024 * 1024 }
  return {
    read: () => answersOf(KnownFile.read(folder, spec)),
    write: ({ handshake, lists }) =>
      KnownFile.write(folder, spec, { handshake: handshake.result, lists: Object.fromEntries(lists) })
  }
}

const answersOf = (document: unknown): Answers | null => {
  const found = decode(document)
  if (Option.isNone(found)) return null
  const handshake = handshakeOf(found.value.handshake)
  const lists = Object.entries(found.value.lists).filter(([, text]) => isOneLine(text))
  return handshake === null ? null : { handshake, lists: new Map(lists) }
}

/** Whether a text can be the bytes of a part of a line. */
const isOneLine = (text: string): boolean => /^[ -ÿ\t]*$/.test(text)

const decode = Schema.decodeUnknownOption(
  Schema.Struct({ handshake: Schema.Unknown, lists: Schema.Record(Schema.String, Schema.String) })
)
