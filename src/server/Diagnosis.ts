/**
 * What a failure of a server's process most likely comes from, and what a person can do about it. Pure.
 *
 * Tables in order of trust: what the error alone settles, what the process said on stderr (`Sayings`), what is left to
 * guess.
 */
import type { ProcessError, RemoteEnding } from "../PoolError.ts"
import { lastSaid, seeLogs, textOf, type Traces } from "./Sayings.ts"
import type { Classification } from "./ServerState.ts"

export interface Diagnosis {
  readonly classification: Classification
  /** What a person can do about it: one sentence. Null where there is nothing to say. */
  readonly hint: string | null
}

/** Takes bounded time, whatever the lines are. */
export const diagnose = (end: ProcessError, traces: Traces): Diagnosis => {
  const settled = facts.find(({ is }) => is(end))
  if (settled !== undefined) return { classification: settled.classification, hint: settled.hint(end) }
  const text = textOf(traces.stderr)
  const { name, said } = lastSaid(end, text)
  if (said !== null) {
    return { classification: said.classification, hint: said.hint({ name, server: end.server, traces }) }
  }
  const guess = guesses.find(({ is, says }) => is(end) && (says === undefined || says.test(text)))
  return guess === undefined
    ? { classification: "unknown", hint: seeLogs(end) }
    : { classification: guess.classification, hint: guess.hint(end) }
}

interface Fact {
  readonly classification: Classification
  readonly is: (end: ProcessError) => boolean
  readonly hint: (end: ProcessError) => string | null
}

interface Guess extends Fact {
  /** What must be somewhere in its last lines too. */
  readonly says?: RegExp
}

const failedToSpawn =
  (...codes: ReadonlyArray<string>) =>
  (end: ProcessError): boolean =>
    end._tag === "SpawnFailed" && codes.includes(end.code)

const exitedWith =
  (...how: ReadonlyArray<number | string>) =>
  (end: ProcessError): boolean =>
    end._tag === "ProcessExited" && how.some((one) => one === end.exitCode || one === end.signal)

const endedBy =
  (ending: RemoteEnding) =>
  (end: ProcessError): boolean =>
    end._tag === "RemoteEnded" && end.ending === ending

const timedOut = (end: ProcessError): boolean => end._tag === "HandshakeFailed" && end.timedOut
const wasRefused = (end: ProcessError): boolean => end._tag === "HandshakeFailed" && !end.timedOut
const exitedEarly = (end: ProcessError): boolean => end._tag === "ProcessExited" && end.phase === "handshake"

/** Without its directory: clients see hints, too. */
const commandOf = (end: ProcessError): string =>
  end._tag === "SpawnFailed" ? `"${end.command.slice(end.command.lastIndexOf("/") + 1)}"` : "its command"

/** What the error alone settles, whatever the process said. */
const facts: ReadonlyArray<Fact> = [
  {
    classification: "configuration",
    is: (end) => end._tag === "ServerConfigError",
    hint: () => "mend the configuration and start the daemon again"
  },
  {
    classification: "configuration",
    is: (end) => end._tag === "SpawnFailed" && end.code.startsWith("no directory"),
    hint: ({ server }) =>
      `make the directory of its "cwd" and run mcp-pool start ${server}, or mend "cwd" and start the daemon again`
  },
  {
    classification: "command-not-found",
    is: failedToSpawn("ENOENT", "ENOTDIR"),
    hint: (end) =>
      end._tag === "SpawnFailed" && end.command.includes("/")
        ? `${commandOf(end)} is not where "command" says: mend the path`
        : `${commandOf(end)} is not on the daemon's PATH: use its absolute path`
  },
  {
    classification: "permission",
    is: failedToSpawn("EACCES", "EPERM"),
    hint: (end) => `${commandOf(end)} is not executable: chmod +x`
  },
  {
    classification: "out-of-memory",
    is: failedToSpawn("ENOMEM"),
    hint: ({ server }) => `the system is short of memory: free some, then run mcp-pool restart ${server}`
  },
  {
    classification: "unknown",
    is: failedToSpawn("EAGAIN", "EMFILE", "ENFILE"),
    hint: ({ server }) =>
      `the system is short of processes or files: raise the limit, then run mcp-pool restart ${server}`
  },
  {
    classification: "unknown",
    is: failedToSpawn("ENOEXEC"),
    hint: (end) => `${commandOf(end)} is no program of this system: does it lack a "#!" line?`
  },
  // Nothing ran: there is nothing to see.
  { classification: "unknown", is: (end) => end._tag === "SpawnFailed", hint: () => null },
  {
    classification: "permission",
    is: endedBy("unauthorized"),
    hint: () =>
      'if it wants a token, write it into "headers"; if it wants OAuth, have mcp-remote speak to it: ' +
      '"command": "npx", "args": ["-y", "mcp-remote", its url] in place of "url"'
  },
  {
    classification: "configuration",
    is: endedBy("redirected"),
    hint: () => 'its "headers" are sent to no other place: write the url to which it points into "url"'
  },
  {
    classification: "configuration",
    is: endedBy("loop"),
    hint: () => 'write the server\'s own "url" or "command" here, and the pool\'s address into the hosts\' files'
  },
  { classification: "unknown", is: endedBy("session-over"), hint: () => null },
  {
    classification: "configuration",
    is: (end) => end._tag === "RemoteEnded" && /CERT|SELF_SIGNED|UNABLE_TO_(?:VERIFY|GET)/.test(end.reason),
    hint: () =>
      "the daemon does not trust its certificate: start the daemon with NODE_EXTRA_CA_CERTS, a file with that of its authority"
  },
  {
    classification: "unknown",
    is: endedBy("unreachable"),
    hint: ({ server }) => `look whether it is up and its "url" is right; mcp-pool restart ${server} tries it at once`
  },
  {
    classification: "protocol-mismatch",
    is: (end) => end._tag === "HandshakeFailed" && end.pid === null && !end.timedOut,
    hint: () =>
      'check that "url" is where it speaks streamable HTTP; what speaks HTTP+SSE alone is to be had by mcp-remote: ' +
      '"command": "npx", "args": ["-y", "mcp-remote", its url]'
  },
  {
    classification: "timeout",
    is: (end) => end._tag === "PreflightFailed" && end.timedOut,
    hint: (end) => `raise pool.startTimeout if it is only slow, or ${seeLogs(end)}`
  },
  {
    classification: "missing-tools",
    is: (end) => end._tag === "PreflightFailed",
    hint: () => "pool.requiredTools names what must be there; beyond that, a restart with --now accepts a new list"
  },
  {
    classification: "timeout",
    is: (end) => end._tag === "ProbeFailed",
    hint: (end) => `raise pool.probe.timeout or pool.probe.misses if it is only slow, or ${seeLogs(end)}`
  },
  {
    classification: "out-of-memory",
    // 137: what a shell or docker makes of a child's SIGKILL.
    is: exitedWith("SIGKILL", 137),
    hint: ({ server }) =>
      `it was killed as the system often does when memory is short: free some or let it use less, then run mcp-pool restart ${server}`
  },
  {
    classification: "unknown",
    is: exitedWith("SIGTERM", "SIGINT", "SIGHUP"),
    hint: ({ server }) => `somebody other than the pool ended it: mcp-pool restart ${server} starts it again`
  }
]

const usage =
  /^\s{0,8}(?:usage:|options:)|\berror: (?:missing required argument|required option)|arguments are required:/im
const http =
  /\b(?:listening|running|serving|started|available)\b[^\n]{0,80}(?:https?:\/\/|\bport\b|\bhttp\b|\bsse\b|:\d{2,5}\b)/i

const needsArgument = () => 'it printed how it is used: does it need other "args" to serve over stdio?'
const servesHttp = ({ server }: ProcessError) =>
  `it seems to serve HTTP, not stdio: ask it for stdio in "args", or see mcp-pool logs ${server}`

/** Where it said nothing that tells. */
const guesses: ReadonlyArray<Guess> = [
  {
    classification: "command-not-found",
    is: exitedWith(127),
    hint: ({ server }) => `a command that it runs is not on the daemon's PATH: mcp-pool logs ${server} may tell which`
  },
  {
    classification: "permission",
    is: exitedWith(126),
    hint: ({ server }) => `a command that it runs is not executable: mcp-pool logs ${server} may tell which`
  },
  {
    classification: "unknown",
    is: exitedEarly,
    says: /Cannot connect to the Docker daemon/i,
    hint: ({ server }) => `start Docker, then run mcp-pool restart ${server}`
  },
  { classification: "timeout", is: timedOut, says: http, hint: servesHttp },
  { classification: "timeout", is: timedOut, says: usage, hint: needsArgument },
  { classification: "unknown", is: exitedEarly, says: usage, hint: needsArgument },
  { classification: "unknown", is: exitedEarly, says: http, hint: servesHttp },
  {
    classification: "timeout",
    is: timedOut,
    hint: (end) => `raise pool.startTimeout if it only starts slowly, or ${seeLogs(end)}`
  },
  {
    classification: "protocol-mismatch",
    is: wasRefused,
    hint: ({ server }) => `check that it is an MCP server, and update it: mcp-pool logs ${server} may tell more`
  },
  {
    classification: "unknown",
    is: (end) => exitedEarly(end) && exitedWith(0)(end),
    hint: () => "it ended at once with code 0: does it need an argument to serve over stdio?"
  }
]
