/** A document that one process finds under the path in its environment: there before it starts, removed when it is gone. */
import { Effect } from "effect"
import { randomBytes } from "node:crypto"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"

/** Writes it for its owner alone and returns its path; in `directory`, or without one in the system's temporary directory. */
export const write = (directory: string | null, content: string): Effect.Effect<string, NodeJS.ErrnoException> =>
  Effect.try({
    try: () => {
      const parent = path.join(directory ?? os.tmpdir(), directory === null ? ownName() : folder)
      fs.mkdirSync(parent, { recursive: true, mode: 0o700 })
      const file = path.join(parent, `${randomBytes(8).toString("hex")}.json`)
      fs.writeFileSync(file, content, { mode: 0o600, flag: "wx" })
      return file
    },
    // The file system throws nothing else.
    catch: (error) => error as NodeJS.ErrnoException
  })

/** Removes it; one that is gone is no error. */
export const remove = (file: string): Effect.Effect<void> =>
  Effect.sync(() => {
    fs.rmSync(file, { force: true })
    // Its directory may hold others', and is the pool's own to remove where it does not.
    if (path.basename(path.dirname(file)) !== folder) fs.rmSync(path.dirname(file), { recursive: true, force: true })
  })

/** The folder in a pool's own directory. */
export const folder = "session-files"

const ownName = (): string => `mcp-pool-${randomBytes(8).toString("hex")}`
