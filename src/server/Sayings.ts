/**
 * What processes print on stderr when they fail, and what it means. Of what one said the last line counts that any sign is
 * found in, and there the first sign. Its text never gets into a hint, which clients see too: only names and ports that
 * pass a strict check. Pure.
 */
import type { ProcessError } from "../PoolError.ts"
import type { Classification } from "./ServerState.ts"

/** What is known of a process that failed, besides its error. */
export interface Traces {
  /** Its last lines on stderr, oldest first. */
  readonly stderr: ReadonlyArray<string>
  /** Names of variables that its process had … */
  readonly given: ReadonlySet<string>
  /** … and whether the pool itself has a variable. */
  readonly isKnown: (variable: string) => boolean
}

/** Where there is nothing better to do. */
export const seeLogs = ({ server }: { readonly server: string }): string =>
  `see what it printed: mcp-pool logs ${server}`

/** What a process says when it fails, and what that means. */
export interface Said {
  readonly classification: Classification
  /** Where it can only mean this. */
  readonly when?: (end: ProcessError) => boolean
  /** Linear: every repetition has a bound. The group `name` is what a hint may name. */
  readonly signs: ReadonlyArray<RegExp>
  /** The name as it may be shown; null: not at all; undefined: then the sign is none. */
  readonly name?: (found: string) => string | null | undefined
  readonly hint: (about: About) => string
}

interface About {
  readonly server: string
  readonly name: string | null
  readonly traces: Traces
}

const inHandshake = (end: ProcessError): boolean =>
  end._tag === "HandshakeFailed" || (end._tag === "ProcessExited" && end.phase === "handshake")

const sign = (strings: TemplateStringsArray, ...parts: ReadonlyArray<string>): RegExp =>
  new RegExp(String.raw(strings, ...parts), "gim")

const checked =
  (pattern: RegExp) =>
  (found: string): string | null =>
    pattern.test(found) ? found : null

const port = (found: string): string | null => (Number(found) > 0 && Number(found) < 65536 ? found : null)

/** The package of a path in `node_modules` or of an import, without its version. */
const packageName = (found: string): string | null => {
  const path = found.split("node_modules/").at(-1) ?? ""
  return /^(?:@[a-z0-9][\w.-]{0,60}\/)?[a-z0-9][\w.-]{0,60}/i.exec(path)?.[0] ?? null
}

const imageName = checked(/^[a-z0-9][a-z0-9._/-]{0,99}$/)

/** The last part of the path of a file that is no package's. */
const fileName = (found: string): string | null | undefined =>
  found.includes("node_modules/") ? undefined : checked(/^[\w.@+-]{1,100}$/)(found.slice(found.lastIndexOf("/") + 1))

/** Known ones only: any other word may be a secret that a shell took for a command. */
const programName = checked(
  /^(?:node|npm|npx|pnpm|yarn|bunx?|deno|tsx|ts-node|python[23]?|pipx?3?|uvx?|poetry|docker|podman|git|java|ruby|go|cargo|dotnet|php)$/
)

/** A word in capitals with an underscore, that is no error code and no switch that runtimes advertise. */
const variableName = (found: string): string | undefined =>
  /^[A-Z][A-Z0-9]{0,39}_[A-Z0-9_]{1,59}$/.test(found) && !noVariable.test(found) ? found : undefined

/** Next to the word "variable" any word in capitals is one. */
const namedVariable = (found: string): string | undefined =>
  variableName(found) ?? (/^[A-Z][A-Z0-9]{2,39}$/.test(found) && !noVariable.test(found) ? found : undefined)

const noVariable = new RegExp(
  [
    "^(?:ERR|HTTP|SIG|SQLITE)_(?!PROXY$)",
    "(?:^|_)(?:NOT_FOUND|ERROR|DENIED|FAILED|REQUIRED|UNAVAILABLE|BAD_REQUEST)$",
    "^(?:RUST_BACKTRACE|NODE_ENV|NODE_OPTIONS|NODE_DEBUG|NODE_MODULE_VERSION|NO_COLOR|FORCE_COLOR|LOG_LEVEL)$",
    "^E(?:ACCES|PERM|NOENT|NOTFOUND|ADDRINUSE|CONN[A-Z]+|TIMEDOUT|PIPE|INVAL|EXIST|MFILE|AI)$",
    "^(?:THE|AND|NOT|FOR|SET|ARE|MUST|ENV|ENVIRONMENT|VARS?|VARIABLES?|NAME|VALUE|FILE|YOUR|PLEASE|MISSING|REQUIRED)$",
    "^(?:UNDEFINED|ERROR|FATAL|WARN|WARNING|INFO|DEBUG|HTTPS?|GET|POST|PUT|UNAUTHORIZED|FORBIDDEN|API|KEY|URL|JSON)$"
  ].join("|")
)

/** Any word: whether it is a variable is checked once it is found. */
const word = String.raw`(?<!\w)(?<name>[a-z_]\w{1,99})(?!\w)`
const quote = "[\\\\\"'`\u2018\u2019\u201c\u201d]{0,2}"
const variables = String.raw`(?:env(?:ironment)?[ -]?(?:var(?:iable)?s?(?:\(s\))?)|env(?:ironment)?|variables?)`
const done = "(?:set|defined|provided|configured|specified|present|found|given|supplied|exported|available)"
const not = "(?:not (?:been |yet |currently )?|(?:isn't|aren't|wasn't|hasn't been) )"
const absent = [
  String.raw`:? (?:(?:is|are|was|were) )?(?:required|missing|mandatory|needed|unset)(?!\w)`,
  String.raw` (?:(?:is|are|was|were) )?(?:undefined|empty|blank|absent)(?!\w)`,
  String.raw`:? (?:(?:is|are|was|were|has|have) )?${not}${done}`,
  String.raw`:? (?:must|should|has to|have to|needs? to)(?: all| both| either)? be (?:${done}|non-?empty)`,
  String.raw` (?:cannot|can't|can not|must not|may not) be (?:empty|blank|undefined)`,
  String.raw` (?:does not|doesn't) exist`,
  String.raw`: (?:unbound variable|parameter (?:null|not set))`
].join("|")
const more = `(?:(?:,|,? or|,? and| \\/) ${quote}[a-z_]\\w{1,99}${quote}){0,4}`
const filler =
  "(?: (?:the|a|an|your|valid|value|for|in|following|one of|all of|any of|either|both|mandatory|required|credentials?" +
  `|config(?:uration)?|settings?|secret|option|api|key|token|data at|at|${variables})){0,6}`
const listed = String.raw`(?: {1,4}|:\s{0,12})(?:[-*\u2022\u2716\u2717] ?)?\$?\{?${quote}`
const lacking = String.raw`(?<!\w)(?:missing|required|requires?|lacks|lacking|undefined|unset|neither)(?: or \w{1,20})?`
const tell = String.raw`(?:(?:^|[-.;:,!\])}] |please |must |should |to |or |and |can |you )(?:set|provide|define|specify|export|supply|pass|configure)|by (?:setting|providing|defining|specifying|exporting|passing|configuring))`
/** Advice on how to get more, not on what is amiss. */
const advice = String.raw`(?![^\n]{0,60}(?:to (?:disable|enable|show|see|display|silence|suppress|hide|skip|opt|debug|turn)|for (?:more|verbose|debug)))`

const missingVariable = ({ name, server, traces }: About): string => {
  if (name === null)
    return `set the variable that it lacks in "env" of its configuration: mcp-pool logs ${server} may name it`
  if (traces.given.has(name)) return `it has ${name}, but does not accept it: check its value`
  return traces.isKnown(name)
    ? `the daemon has ${name} but does not pass it: add "${name}" to pool.passEnv, or to "env" as "\${${name}}"`
    : `set ${name} in "env" of its configuration, or in the daemon's environment with pool.passEnv`
}

/** In one line the first counts. */
const sayings: ReadonlyArray<Said> = [
  {
    classification: "port-in-use",
    signs: [
      sign`EADDRINUSE[^\n]{0,100}:(?<name>\d{1,5})(?!\d)`,
      sign`:(?<name>\d{1,5})(?!\d)[^\n]{0,40}address already in use`,
      sign`', (?<name>\d{1,5})\)[^\n]{0,10}address already in use`,
      sign`port:? (?<name>\d{1,5})(?: is| was)?(?: already| currently)? (?:in use|being used|used by|taken|allocated|occupied)`,
      sign`:(?<name>\d{1,5}) failed: port is already allocated`,
      sign`EADDRINUSE|address already in use|port is already (?:in use|allocated)`
    ],
    name: port,
    hint: ({ name, server }) =>
      `end what holds ${name === null ? "its port" : `port ${name}`} or give it another, then run mcp-pool restart ${server}`
  },
  {
    classification: "out-of-memory",
    signs: [sign`JavaScript heap out of memory|Reached heap limit`],
    hint: () =>
      'let it use less, or give it more by NODE_OPTIONS "--max-old-space-size=4096" in "env" of its configuration'
  },
  {
    classification: "out-of-memory",
    signs: [
      sign`(?<![\w-])out of memory(?!\w)|OutOfMemoryError|std::bad_alloc|Allocation failed`,
      sign`(?<!\w)MemoryError(?!\w)|Cannot allocate memory|memory allocation of \d{1,20} bytes failed|(?<!\w)ENOMEM(?!\w)`
    ],
    hint: ({ server }) => `it ran out of memory: free some or let it use less, then run mcp-pool restart ${server}`
  },
  {
    classification: "missing-variable",
    name: variableName,
    signs: [
      // Not a name of the program's own.
      sign`(?<!ReferenceError: |name ')${word}${quote}${more}(?: ${variables})?(?:${absent})`,
      // zod and its kin: flat, as issues, as text.
      sign`${word}${quote}: (?:\[\s{0,10})?${quote}(?:field )?required`,
      sign`path${quote}: {0,2}\[\s{0,40}${quote}${word}${quote}\s{0,40}\],\s{0,40}${quote}message${quote}: {0,2}${quote}(?:required|[^\n]{0,60}received undefined)`,
      sign`received undefined\s{1,12}\u2192 at ${word}`,
      // Effect
      sign`Expected [a-z]{1,20}\s{1,12}at \["${word}"\]`,
      sign`Expected ${word} to exist`,
      // pydantic
      sign`^${word}\n\s{1,8}field required`,
      sign`${lacking}${filler}${listed}${word}`,
      sign`(?<!\w)no ${quote}${word}${quote}(?: ${variables})?(?: was| is)? ${done}`,
      sign`${tell}${filler}:? \$?\{?${quote}${word}${advice}`,
      sign`(?<!\w)(?:KeyError|key not found): ${quote}${word}`
    ],
    hint: missingVariable
  },
  {
    classification: "missing-variable",
    name: namedVariable,
    signs: [
      sign`(?<!\w)${variables}:? ${quote}${word}${quote}${more}(?:${absent})`,
      sign`${word}${quote} ${variables}(?:${absent})`,
      sign`(?:process\.env|import\.meta\.env)(?:\.|\[${quote})${word}${quote}\]?(?:${absent})`,
      sign`(?:missing|invalid|required|undefined|unset) (?:required |mandatory )?${variables}${listed}(?:[[{] ?)?\s{0,8}${word}`,
      sign`(?<!\w)${variables} (?:(?:is|are) )?(?:${not}${done}|missing|required|undefined|unset)${listed}${word}`,
      sign`(?:could not|couldn't|cannot|can't|failed to|unable to) (?:find|read|get|load|resolve)(?: the| required)? ${variables}:? ${quote}${word}`,
      sign`${tell}(?: the| your| an?)? ${quote}${word}${quote} ${variables}${advice}`,
      sign`${tell}(?: the| your| an?)? ${variables}:? ${quote}${word}${advice}`,
      sign`(?:os\.environ\[|<frozen os>|os\.py")[^\n]{0,200}(?:\n[^\n]{0,200}){0,6}?\nKeyError: ${quote}${word}`
    ],
    hint: missingVariable
  },
  {
    classification: "missing-variable",
    signs: [
      sign`(?<!\w)(?:missing|unset|undefined) (?:required |mandatory )?(?:env(?:ironment)? ?var(?:iable)?s?)(?!\w)`,
      sign`(?<!\w)(?:env(?:ironment)? ?var(?:iable)?s?)(?: (?:is|are|was|were))? (?:${not}${done}|missing|required|undefined|unset)(?!\w)`
    ],
    hint: missingVariable
  },
  {
    classification: "missing-module",
    name: fileName,
    signs: [
      sign`Cannot find module ['"](?<name>(?:file:\/\/|\.{0,2}\/)[^'"\n]{1,500})['"]`,
      sign`Module not found ['"](?<name>file:\/\/[^'"\n]{1,500})['"]`,
      sign`can't open file ['"](?<name>[^'"\n]{1,500})['"]`,
      sign`Unable to access jarfile (?<name>[^\s]{1,500})`
    ],
    hint: ({ name, server }) =>
      `${name === null ? "a file of it" : `"${name}"`} is not there: mend its path in "args", or build or reinstall ${server}`
  },
  {
    classification: "missing-module",
    name: packageName,
    signs: [
      sign`'(?<name>[^'\n]{1,200})@[^'\n]{0,100}' is not in this registry`,
      sign`requested resource '(?<name>[^'\n]{1,200})@[^'\n]{0,100}' could not be found`,
      sign`No matching version found for (?<name>[^\s]{1,200}?)@`,
      sign`No matching distribution found for (?<name>[^\s]{1,200})`,
      sign`Because (?<name>[^\s]{1,200})\s{1,12}was\s{1,12}not\s{1,12}found\s{1,12}in`,
      sign`there\s{1,12}is\s{1,12}no\s{1,12}version\s{1,12}of\s{1,12}(?<name>[^\s=]{1,200})==`,
      sign`not provided by package ['"${"`"}](?<name>[^'"${"`"}\n]{1,200})`,
      sign`could not determine executable to run|npm (?:ERR!|error) (?:code )?(?:E404|ETARGET)|No solution found when resolving|not found in the package registry`
    ],
    hint: ({ name, server }) =>
      name === null
        ? `mend the name or version of its package in "args": mcp-pool logs ${server} may tell more`
        : `the registry has no such "${name}": mend its name or version in "args"`
  },
  {
    classification: "missing-module",
    name: imageName,
    signs: [
      sign`pull access denied for (?<name>[^\s,]{1,200})`,
      sign`manifest for (?<name>[^\s:,]{1,200})(?::[^\s]{1,100})? not found`
    ],
    hint: ({ name, server }) =>
      `${name === null ? "its image" : `the image "${name}"`} cannot be pulled: build it or mend its name in "args", then run mcp-pool restart ${server}`
  },
  {
    classification: "missing-module",
    name: packageName,
    signs: [
      sign`Cannot find (?:module|package) ['"](?<name>[^'"\n]{1,500})['"]`,
      sign`No module named ['"]?(?<name>[^\s'";]{1,200})`,
      sign`cannot import name [^\n]{1,100} from ['"](?<name>[^'"\n]{1,200})['"]`,
      sign`cannot load such file -- (?<name>[^\s]{1,200})`,
      sign`Could not find or load main class (?<name>[^\s]{1,200})`,
      sign`error while loading shared libraries: (?<name>[^\s:]{1,200})`,
      sign`(?<!\w)(?:MODULE_NOT_FOUND|ERR_MODULE_NOT_FOUND|ModuleNotFoundError|ImportError|LoadError)(?!\w)`
    ],
    hint: ({ name, server }) =>
      name === null
        ? `reinstall it with all its modules: mcp-pool logs ${server} may tell which is missing`
        : `install "${name}" where it runs or reinstall the server, then run mcp-pool restart ${server}`
  },
  {
    classification: "command-not-found",
    name: programName,
    signs: [
      sign`command not found: (?<name>[^\s]{1,200})`,
      sign`(?<!\S)(?<name>[^\s:]{1,200}): command not found`,
      sign`(?:^|[\s/])(?:ba|z|da|a|k)?sh: (?:(?:line )?\d{1,6}: )?(?:exec: )?(?<name>[^\s:]{1,200}): not found$`,
      sign`(?:^|[\s/])env: ${quote}(?<name>[^\s:'"\u2018\u2019]{1,200})${quote}: No such file or directory`,
      sign`exec: "(?<name>[^"\n]{1,200})": executable file not found`,
      sign`(?<!\w)spawn (?<name>[^\s]{1,200}) ENOENT`,
      sign`Failed to spawn: ${quote}(?<name>[^\s'"${"`"}]{1,200})${quote}\s{1,12}Caused by: No such file`,
      sign`executable file not found|command not found$`
    ],
    hint: ({ name, server }) =>
      `${name === null ? "a command that it runs" : `"${name}", which it runs,`} is not on its PATH: install it or set PATH in "env", or see mcp-pool logs ${server}`
  },
  {
    classification: "permission",
    signs: [
      sign`(?<!\w)(?:EACCES|EPERM|PermissionError)(?!\w)|permission denied|operation not permitted|access is denied`
    ],
    hint: ({ server }) => `let the daemon's user have what it was denied: mcp-pool logs ${server} may tell what`
  },
  {
    classification: "protocol-mismatch",
    when: inHandshake,
    signs: [
      sign`(?:unsupported|incompatible|unknown|invalid) (?:mcp )?protocol ?version`,
      sign`protocol ?version[^\n]{0,60}(?:not supported|unsupported|incompatible)`
    ],
    hint: ({ server }) =>
      `update it to a version that speaks a newer protocol version of MCP, then run mcp-pool restart ${server}`
  },
  // Another cause: what was said before it did not end the process.
  {
    classification: "unknown",
    signs: [
      sign`^(?:Uncaught )?(?:Type|Reference|Syntax|Range|Attribute|Name|Indentation|Index|Recursion|ZeroDivision)Error(?!\w)`,
      sign`(?<!\w)E(?:CONNREFUSED|CONNRESET|TIMEDOUT|HOSTUNREACH|NOTFOUND|AI_AGAIN)(?!\w)`,
      sign`^panic: runtime error|segmentation fault`
    ],
    hint: seeLogs
  }
]

/** The saying whose sign is in the latest line, or the one of its kind that has the latest name. */
export const lastSaid = (
  end: ProcessError,
  text: string
): { readonly said: Said | null; readonly name: string | null } => {
  let said: Said | null = null
  let line = -1
  const names = new Map<Classification, { readonly said: Said; readonly name: string; readonly line: number }>()
  for (const saying of sayings) {
    if (saying.when?.(end) === false) continue
    for (const pattern of saying.signs) {
      const found = lastMatch(pattern, text, saying.name)
      if (found === null) continue
      if (found.line > line) {
        said = saying
        line = found.line
      }
      const known = names.get(saying.classification)
      if (found.name !== null && (known === undefined || found.line > known.line)) {
        names.set(saying.classification, { said: saying, name: found.name, line: found.line })
      }
    }
  }
  if (said === null || said.classification === "unknown") return { said: null, name: null }
  return names.get(said.classification) ?? { said, name: null }
}

/** Where the line of its last match begins, and the name there. */
const lastMatch = (
  pattern: RegExp,
  text: string,
  nameOf: Said["name"]
): { readonly line: number; readonly name: string | null } | null => {
  let last: { readonly line: number; readonly name: string | null } | null = null
  pattern.lastIndex = 0
  for (let match = pattern.exec(text); match !== null; match = pattern.exec(text)) {
    const found = match.groups?.["name"]
    const name = found === undefined || nameOf === undefined ? null : nameOf(found)
    if (name === undefined) {
      pattern.lastIndex = match.index + 1
      continue
    }
    last = { line: text.lastIndexOf("\n", match.index + match[0].length - 1), name }
  }
  return last
}

/** Its last lines, without colours, and without warnings, which rarely end a process: only a last one counts. */
export const textOf = (stderr: ReadonlyArray<string>): string => {
  const lines = stderr
    .slice(-maxLines)
    .map((line) => line.slice(0, maxLine).replace(colour, "").trimEnd())
    .filter((line) => line !== "")
  const kept = lines.filter((line, i) => i === lines.length - 1 || !aside.test(line))
  return `\n${kept.join("\n")}`.slice(-maxText)
}

// oxlint-disable-next-line no-control-regex -- colours are what it takes out
const colour = /\x1b\[[0-9;]{0,20}m/g
const aside =
  /(?<!\w)(?:warn|warning|optional|optionally|deprecated|defaults? to|defaulting|using default|fallback|falling back|continuing|disabled|skipping|ignored|ignoring)(?!\w)/i
const maxLines = 60
const maxLine = 1024
const maxText = 16 * 1024
