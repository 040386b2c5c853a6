/**
 * Says when files of the configuration may have changed. Their directories are watched, since editors put another file in
 * the place of the one before. Lives as long as somebody listens.
 */
import { Effect, Queue, type Scope, Stream } from "effect"
import * as fs from "node:fs"
import * as path from "node:path"

/** Once after changes that come close together; also of `mcp-pool.inputs.json` beside a file, and of what a link leads to. */
export const changes = (files: ReadonlyArray<string>): Stream.Stream<void> =>
  Stream.callback<void>((queue) =>
    Effect.forEach(directoriesOf(files), ([directory, names]) => watch(directory, names, queue), { discard: true })
  ).pipe(Stream.debounce(quiet))

const watch = (
  directory: string,
  names: ReadonlySet<string>,
  queue: Queue.Enqueue<void>
): Effect.Effect<void, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.try({
      try: () => {
        const watcher = fs.watch(directory, { persistent: false }, (_, name) => {
          if (name === null || names.has(name)) Queue.offerUnsafe(queue, undefined)
        })
        // It is gone, or is watched no more: what is there stays as it is.
        watcher.on("error", () => watcher.close())
        return watcher
      },
      catch: (cause) => (cause as Error).message
    }),
    (watcher) => Effect.sync(() => watcher.close())
  ).pipe(Effect.catch((reason) => Effect.logWarning(`${directory} cannot be watched: ${reason}`)))

/** The names to look for, by their directories. */
const directoriesOf = (files: ReadonlyArray<string>): ReadonlyMap<string, ReadonlySet<string>> => {
  const directories = new Map<string, Set<string>>()
  const add = (file: string) => {
    const names = directories.get(path.dirname(file)) ?? new Set()
    directories.set(path.dirname(file), names.add(path.basename(file)))
  }
  for (const file of files.map((file) => path.resolve(file))) {
    add(file)
    add(path.join(path.dirname(file), "mcp-pool.inputs.json"))
    add(realPath(file))
  }
  return directories
}

const realPath = (file: string): string => {
  try {
    return fs.realpathSync(file)
  } catch {
    return file
  }
}

/** How long nothing must happen: some editors write a file in several steps. */
const quiet = "200 millis"
