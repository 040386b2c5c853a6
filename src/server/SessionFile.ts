/** A document that one process finds under the path in its environment: there before it starts, removed when it is gone. */
import { Effect } from "effect"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"

/**
 * Writes it for its owner alone and returns its path; in a pool's `directory`, or without one in the system's temporary
 * directory. `unique` becomes a part of its name.
 */
export const write = (
  directory: string | null,
  unique: string,
  content: string
): Effect.Effect<string, NodeJS.ErrnoException> =>
  Effect.try({
    try: () => {
      const parent = directory === null ? path.join(os.tmpdir(), `mcp-pool-${unique}`) : path.join(directory, folder)
      fs.mkdirSync(parent, { recursive: true, mode: 0o700 })
      const file = path.join(parent, `${unique}.json`)
      fs.writeFileSync(file, content, { mode: 0o600, flag: "wx" })
      return file
    },
    // The file system throws nothing else.
    catch: (error) => error as NodeJS.ErrnoException
  })

/** Removes it; one that is gone is no error. */
export const remove = (file: string): Effect.Effect<void> =>
  Effect.sync(() => {
    const parent = path.dirname(file)
    // A pool's own directory holds those of others, too.
    if (path.basename(parent) === folder) fs.rmSync(file, { force: true })
    else fs.rmSync(parent, { recursive: true, force: true })
  })

/** In a pool's directory. */
export const folder = "session-files"
