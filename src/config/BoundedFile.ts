/** Files that somebody else may have put where the pool looks: a pipe is not waited for, and no device is read. */
import { closeSync, constants, fstatSync, openSync, readFileSync } from "node:fs"
import { Predicate, Result } from "effect"

/** The text of a regular file of so many bytes at most; undefined where there is no file. Fails with why there is none, in words. */
export const read = (file: string, maxBytes: number): Result.Result<string | undefined, string> => {
  const opened = Result.try(() => openSync(file, constants.O_RDONLY | constants.O_NONBLOCK))
  if (Result.isFailure(opened)) {
    const code = Predicate.hasProperty(opened.failure, "code") ? String(opened.failure.code) : "unknown error"
    if (code === "ENOENT" || code === "ENOTDIR") return Result.succeed(undefined)
    return Result.fail(code === "EACCES" ? "permission denied" : `cannot be read (${code})`)
  }
  const text = Result.try({
    try: () => {
      const stats = fstatSync(opened.success)
      if (!stats.isFile()) return Result.fail("is no regular file")
      if (stats.size > maxBytes) return Result.fail(`is larger than ${maxBytes} bytes`)
      return Result.succeed(readFileSync(opened.success, "utf8").replace(/^\uFEFF/, ""))
    },
    catch: () => "cannot be read"
  })
  closeSync(opened.success)
  return Result.flatMap(text, (inner) => inner)
}
