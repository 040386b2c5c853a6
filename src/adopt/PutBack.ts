/** The entries of a file that has changed since adopt wrote it, as they were before; all else stays as it is now. Pure. */
import { isDeepStrictEqual } from "node:util"
import { Result } from "effect"
import type { Entry, Host, Run } from "../hosts/Host.ts"
import * as HostFile from "../hosts/HostFile.ts"

/** The text with those entries put back that still are as adopt made them; fails with the reason where it cannot be changed. */
export const putBack = (options: {
  readonly host: Host
  readonly file: string
  readonly moved: ReadonlyArray<Run & { readonly path: ReadonlyArray<string> }>
  readonly before: string
  readonly now: string
}): Result.Result<string, string> => {
  const { before, file, host, moved, now } = options
  const old = HostFile.list(host, file, before)
  const current = HostFile.list(host, file, now)
  if (Result.isFailure(old) || Result.isFailure(current)) return Result.fail("is not valid any more")
  const entryAt = (listed: ReadonlyArray<HostFile.Listed>, path: ReadonlyArray<string>): Entry | undefined =>
    HostFile.asEntry(listed.find((one) => isDeepStrictEqual(one.path, path))?.entry)
  const edits = moved.flatMap(({ args, command, path }): ReadonlyArray<HostFile.Edit> => {
    const was = entryAt(old.success, path)
    const is = entryAt(current.success, path)
    const run = is === undefined ? undefined : host.shape.run(is)
    // What somebody has taken away or written anew is theirs.
    if (was === undefined || is === undefined || !isDeepStrictEqual(run, { command, args })) return []
    return [{ path, changes: host.shape.rewrite(was, { command, args }).map(([key]) => [key, was[key]] as const) }]
  })
  return HostFile.edit(host, file, now, edits)
}
