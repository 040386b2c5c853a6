/** Command lines for people to copy. Pure. */

/** A word as a shell takes it. */
export const quoted = (word: string): string =>
  /^[\w.@%+=:,/-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`

/** A command line of such words. */
export const line = (...words: ReadonlyArray<string>): string => words.map(quoted).join(" ")

/** The commands of `mcp-pool` for one runtime directory. */
export interface Commands {
  /** With the flag that names the directory, where it is not the usual one. */
  readonly pool: (...words: ReadonlyArray<string>) => string
  /** Starts the daemon with the files that were looked at. */
  readonly serve: string
  /** Starts one server for a moment, as these files have it. */
  readonly start: (server: string) => string
}

/** Those of the directory and the files. */
export const commands = (options: {
  /** Null for the usual one. */
  readonly runtimeDir: string | null
  readonly configFiles: ReadonlyArray<string>
}): Commands => {
  const { configFiles, runtimeDir } = options
  const pool = (...words: ReadonlyArray<string>) => {
    const [command = "", ...rest] = words
    const flag = runtimeDir === null ? [] : ["--runtime-dir", runtimeDir]
    return line("mcp-pool", command, ...flag, ...rest)
  }
  const files = configFiles.flatMap((file) => ["--config", file])
  return {
    pool,
    serve: pool("serve", ...files),
    start: (server) => pool("doctor", ...files, "--start", server)
  }
}
