/** Where there is nothing to relay to: why, said on stderr and to the host's first request, and then the end. */
import { nearest } from "../nearest.ts"
import * as RuntimeDir from "../RuntimeDir.ts"
import { open } from "./Dialing.ts"
import * as Wire from "./Wire.ts"

/** The names of the daemon's servers; undefined where it does not say. */
export const askNames = (runtimeDir: string, onNames: (names: ReadonlyArray<string> | undefined) => void): void =>
  open(
    RuntimeDir.controlSocket(runtimeDir),
    (socket) => {
      let text = ""
      let answered = false
      const finish = (names: ReadonlyArray<string> | undefined) => {
        if (answered) return
        answered = true
        clearTimeout(deadline)
        socket.destroy()
        onNames(names)
      }
      const deadline = setTimeout(() => finish(undefined), patience)
      socket.setEncoding("utf8")
      socket.on("close", () => finish(undefined))
      socket.on("data", (chunk) => {
        text += chunk
        if (text.includes("\n")) finish(serverNames(text))
      })
      socket.write(statusRequest)
    },
    () => onNames(undefined)
  )

/** How long the daemon may take to say what servers it has, and the host to ask its first question. */
const patience = 1000

/** `Status` of `ControlApi`, as its protocol writes it; a test holds this to the real one. */
const statusRequest = '{"_tag":"Request","id":"1","tag":"Status","payload":null,"headers":[]}\n'

const serverNames = (reply: string): ReadonlyArray<string> | undefined => {
  try {
    return JSON.parse(reply).exit.value.servers.map((server: { readonly name: string }) => server.name)
  } catch {
    return undefined
  }
}

/** What is wrong with the name, and what may have been meant. */
export const noSuchServer = (server: string, names: ReadonlyArray<string> | undefined): string => {
  if (names === undefined) return `server "${server}" has no socket here`
  if (names.includes(server)) return `server "${server}" has no socket here, though the daemon knows it`
  if (names.length === 0) return `no server "${server}": no server is configured`
  const meant = nearest(server, names)
  const hint = meant === undefined ? "" : `did you mean "${meant}"? `
  return `no server "${server}": ${hint}there are ${names.join(", ")}`
}

/** Says it on stderr, and to the host's first request: most hosts show nothing else. */
export const refuse = (error: Wire.Failure, exitCode: number): void => {
  process.stderr.write(`mcp-pool: ${error.message}\n`)
  process.stdout.on("error", () => process.exit(exitCode))
  const leave = () => exit(exitCode)
  if (process.stdin.isTTY) return leave()
  let text = ""
  setTimeout(leave, patience)
  process.stdin.setEncoding("utf8")
  process.stdin.on("error", leave)
  process.stdin.on("end", leave)
  process.stdin.on("data", (chunk) => {
    text += chunk
    const lines = text.split("\n")
    text = lines.pop()!
    const id = lines.map(requestId).find((id) => id !== undefined)
    if (id === undefined) {
      if (text.length > maxFirstLine) leave()
      return
    }
    process.stdout.write(Wire.failure(JSON.stringify(id), error))
    process.stdin.pause()
    leave()
  })
}

const maxFirstLine = 1024 * 1024

/** The id of a request; undefined for anything else. */
const requestId = (line: string): unknown => {
  try {
    const message: unknown = JSON.parse(line)
    const isRequest = typeof message === "object" && message !== null && "method" in message && "id" in message
    return isRequest ? (message.id ?? undefined) : undefined
  } catch {
    return undefined
  }
}

/** After what was written has gone out. */
const exit = (code: number): void => void process.stdout.write("", () => process.exit(code))
