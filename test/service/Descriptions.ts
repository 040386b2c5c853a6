/** Services as tests describe them. */
import { Arbitrary, Schema } from "effect"
import { commandLine, type Description } from "../../src/service/Description.ts"

export const plain: Description = {
  node: "/usr/bin/node",
  script: "/usr/lib/node_modules/effect-mcp-pool/dist/bin/bin.js",
  configFiles: [],
  runtimeDir: "/home/ann/.local/state/mcp-pool",
  path: "/home/ann/.local/bin:/usr/bin:/bin",
  stopTimeout: 90
}

/** All that either format could take for its own. */
export const hostile: Description = {
  http: {
    address: { host: "a%h$HOME", port: 1 },
    auth: "token",
    allowedHosts: ["b'c\"&<d>", "[::1]"],
    idle: 1000
  },
  node: `/opt/my "node" 100%h/$HOME/bin/node`,
  script: "/opt/a\\b 'c' ${HOME} $$ %% %n ; #/bin.js",
  configFiles: ["/home/ann/ä & <b> ]]> -- 日本/mcp.json", "/x/--runtime-dir"],
  runtimeDir: "/home/ann/pool 'two' 🚀",
  path: `/a b:/c%h:/d$PATH:/e"f":/g\\h:/i'j':/k&l;:/m<n>:`,
  stopTimeout: 155
}

/** Pieces of paths, some of which mean something to systemd, to XML or to a shell. */
const pieces = [
  "a",
  " ",
  "  ",
  "%",
  "%%",
  "%h",
  "$",
  "$$",
  "${A}",
  '"',
  "'",
  "\\",
  "\\n",
  "\\x41",
  "&",
  "&amp;",
  "<",
  ">",
  "<!--",
  "-->",
  "]]>",
  "--",
  ";",
  "#",
  "=",
  "é",
  "日",
  "🚀",
  "\u00a0",
  "\u2028"
]

const Word = Schema.Array(Schema.Literals(pieces))

/** Descriptions of such pieces. */
export const any = Arbitrary.schema(
  Schema.Struct({ node: Word, script: Word, configFiles: Schema.Array(Word), runtimeDir: Word, path: Word })
).pipe(
  Arbitrary.map(({ configFiles, node, path, runtimeDir, script }): Description => ({
    node: absolute(node),
    script: absolute(script),
    configFiles: configFiles.map(absolute),
    runtimeDir: absolute(runtimeDir),
    path: path.join(""),
    stopTimeout: 90
  }))
)

const absolute = (words: ReadonlyArray<string>): string => `/${words.join("")}`

/** What a text of it has to say. */
export const said = (description: Description) => ({ command: commandLine(description), path: description.path })
