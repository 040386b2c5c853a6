/**
 * A turn is a file that only one process can make, and that a process which died does not keep: whoever has it does what
 * only one may do at a time. Plain functions without Effect, since `mcp-pool connect` loads this.
 */

/** Takes the turn, unless somebody has it. Throws where its file cannot be made. */
export const take = (file: string): boolean => {
  if (create(file)) return true
  if (isTaken(file)) return false
  giveBack(file)
  return create(file)
}

/** Others may have it. */
export const giveBack = (file: string): void => fs().rmSync(file, { force: true })

/** With its content from the first moment, so that nobody takes it for a dead process's. */
const create = (file: string): boolean => {
  const own = `${file}.${process.pid}`
  try {
    fs().writeFileSync(own, String(process.pid), { mode: 0o600 })
    fs().linkSync(own, file)
    return true
  } catch (cause) {
    if (codeOf(cause) === "EEXIST") return false
    throw cause
  } finally {
    fs().rmSync(own, { force: true })
  }
}

/** A turn takes seconds at most: an old file is a dead process's, even if another has its pid by now. */
const isTaken = (file: string): boolean => {
  try {
    if (Date.now() - fs().statSync(file).mtimeMs > longest) return false
    const pid = Number(fs().readFileSync(file, "utf8"))
    // One without a pid is an older `connect`'s that has just been made.
    return pid === 0 || process.kill(pid, 0)
  } catch (cause) {
    // Another user's lives as well, and whoever has just removed it.
    return codeOf(cause) === "EPERM" || codeOf(cause) === "ENOENT"
  }
}

const codeOf = (cause: unknown): string | undefined => (cause as NodeJS.ErrnoException).code

const fs = () => process.getBuiltinModule("node:fs")

/** Milliseconds. */
const longest = 10_000
