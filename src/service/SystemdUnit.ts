/** The text of a systemd user unit for the daemon (systemd.service(5), systemd.syntax(7)). Pure. */
import { commandLine, type Description, type Parsed } from "./Description.ts"

/** All of it but the line that tells an edit. */
export const text = (description: Description, name: string): string => {
  return `# Written by "mcp-pool service install", which writes it anew with another PATH, another node or other files.
# What you add with "systemctl --user edit ${name}" stays.

[Unit]
Description=MCP servers, each run once and shared (mcp-pool)
# A daemon that cannot start is given up after five times in a minute, as where another one serves its directory.
StartLimitIntervalSec=60
StartLimitBurst=5

[Service]
Type=exec
ExecStart=${startable(commandLine(description)).map(word).join(" ")}
Environment=${quoted(`PATH=${description.path}`)}
# Also after a clean end: "mcp-pool shutdown --handover" makes way for the next daemon.
Restart=always
RestartSec=500ms
# A configuration that cannot be read is no better a moment later.
RestartPreventExitStatus=2
# The daemon ends its servers, each in its own way; what is left when it is gone is killed.
KillMode=mixed
TimeoutStopSec=${description.stopTimeout}
# A server that is out of memory is the daemon's to restart.
OOMPolicy=continue
StandardOutput=journal
StandardError=journal
SyslogIdentifier=mcp-pool

[Install]
WantedBy=default.target
`
}

/** What a unit says, also one that somebody edited; undefined where it starts nothing. */
export const parse = (unit: string): Parsed | undefined => {
  let section = ""
  let command: ReadonlyArray<string> | undefined
  let path: string | undefined
  // A line that ends in a backslash goes on in the next.
  for (const line of unit.replace(/\\\r?\n/g, " ").split(/\r?\n/)) {
    const head = /^\s*\[(.+)\]\s*$/.exec(line)
    if (head !== null) section = head[1]!
    const [, key, value = ""] = /^\s*(ExecStart|Environment)\s*=\s*([^]*?)\s*$/.exec(line) ?? []
    if (section !== "Service" || key === undefined) continue
    // An empty value takes back what was said before.
    if (key === "ExecStart") command = value === "" ? undefined : commandOf(words(value))
    else {
      const variables = words(value).map(unspecified)
      path = value === "" ? undefined : (variables.findLast((word) => word.startsWith("PATH="))?.slice(5) ?? path)
    }
  }
  return command === undefined ? undefined : { command, path }
}

/** systemd refuses a program with a quote or a backslash in its path, and looks for no variable in it: a shell starts it. */
const startable = (command: ReadonlyArray<string>): ReadonlyArray<string> =>
  /["'\\$]/.test(command[0] ?? "") ? [...shell, ...command] : command

const shell = ["/bin/sh", "-c", 'exec "$0" "$@"']

const commandOf = ([program = "", ...args]: ReadonlyArray<string>): ReadonlyArray<string> => {
  const command = [
    unspecified(program.replace(/^[-@:+!|]+/, "")),
    ...args.map((word) => unspecified(word).replaceAll("$$", "$"))
  ]
  return shell.every((word, i) => word === command[i]) ? command.slice(shell.length) : command
}

const unspecified = (word: string): string => word.replaceAll("%%", "%")

/** `%` stands for what systemd knows; within quotes a backslash escapes. */
const quoted = (word: string): string => `"${word.replace(/[\\"]/g, "\\$&").replaceAll("%", "%%")}"`

const word = (text: string): string => (plain.test(text) ? text : quoted(text.replaceAll("$", "$$$$")))

const plain = /^[\w./:=@,+-]+$/

/** A value's words as systemd takes them apart. */
const words = (value: string): ReadonlyArray<string> => {
  const found: Array<string> = []
  let word: string | undefined
  let quote: string | undefined
  for (let i = 0; i < value.length; i++) {
    const char = value[i]!
    if (char === "\\" && i + 1 < value.length) {
      const next = value[++i]!
      word = (word ?? "") + (escapes.get(next) ?? next)
    } else if (quote !== undefined) {
      if (char === quote) quote = undefined
      else word += char
    } else if (char === '"' || char === "'") {
      quote = char
      word ??= ""
    } else if (char === " " || char === "\t") {
      if (word !== undefined) found.push(word)
      word = undefined
    } else word = (word ?? "") + char
  }
  return word === undefined ? found : [...found, word]
}

const escapes: ReadonlyMap<string, string> = new Map([
  ["n", "\n"],
  ["t", "\t"],
  ["s", " "]
])
