/** The text of a property list that has launchd keep the daemon running (launchd.plist(5)). Pure. */
import { commandLine, type Description, type Parsed } from "./Description.ts"

/** All of it but the line that tells an edit. `logFile` gets what the daemon writes to stderr. */
export const text = (
  description: Description,
  { home, label, logFile }: { readonly label: string; readonly home: string; readonly logFile: string }
): string => `<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">
<!-- Written by "mcp-pool service install", which writes it anew with another PATH, another node or other files. -->
<plist version="1.0">
<dict>
  <key>Label</key>
  ${string(label)}
  <key>ProgramArguments</key>
  <array>
${commandLine(description)
  .map((word) => `    ${string(word)}\n`)
  .join("")}  </array>
  <key>EnvironmentVariables</key>
  <dict>
    <key>PATH</key>
    ${string(description.path)}
  </dict>
  <key>WorkingDirectory</key>
  ${string(home)}
  <key>RunAtLoad</key>
  <true/>
  <!-- Also after a clean end: "mcp-pool shutdown" with its handover makes way for the next daemon. -->
  <key>KeepAlive</key>
  <true/>
  <!-- Seconds from one start to the next at least: a daemon that cannot start costs little. -->
  <key>ThrottleInterval</key>
  <integer>10</integer>
  <!-- Seconds in which the daemon ends its servers, each in its own way. -->
  <key>ExitTimeOut</key>
  <integer>${description.stopTimeout}</integer>
  <key>StandardOutPath</key>
  <string>/dev/null</string>
  <key>StandardErrorPath</key>
  ${string(logFile)}
</dict>
</plist>
`

/** What a property list says, also one that somebody edited as text; undefined where it starts nothing. */
export const parse = (plist: string): Parsed | undefined => {
  const bare = plist.replace(/<!--[^]*?-->/g, "")
  const [, array] = /<key>ProgramArguments<\/key>\s*<array>([^]*?)<\/array>/.exec(bare) ?? []
  const [, dict = ""] = /<key>EnvironmentVariables<\/key>\s*<dict>([^]*?)<\/dict>/.exec(bare) ?? []
  const [, path] = /<key>PATH<\/key>\s*<string>([^]*?)<\/string>/.exec(dict) ?? []
  const command = Array.from((array ?? "").matchAll(/<string>([^]*?)<\/string>/g), ([, word]) => unescaped(word!))
  return command.length === 0 ? undefined : { command, path: path === undefined ? undefined : unescaped(path) }
}

const string = (value: string): string => `<string>${value.replace(/[&<>]/g, (char) => entities[char]!)}</string>`

const unescaped = (value: string): string =>
  value.replace(/&(?:#x([\da-f]+)|#(\d+)|(\w+));/gi, (all, hex, decimal, name) =>
    hex !== undefined
      ? String.fromCodePoint(Number.parseInt(hex, 16))
      : decimal !== undefined
        ? String.fromCodePoint(Number(decimal))
        : (characters[name] ?? all)
  )

const entities: Readonly<Record<string, string>> = { "&": "&amp;", "<": "&lt;", ">": "&gt;" }
const characters: Readonly<Record<string, string>> = { amp: "&", lt: "<", gt: ">", quot: '"', apos: "'" }
