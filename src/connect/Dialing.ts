/** One attempt to reach a server through the daemon: at `connect.sock`, else at the server's own socket. */
import type { Socket } from "node:net"
import * as BridgeProtocol from "../BridgeProtocol.ts"
import * as RuntimeDir from "../RuntimeDir.ts"
import { version } from "../version.ts"

/** What is wanted. */
export interface Wanted {
  readonly runtimeDir: string
  readonly server: string
  /** Absolute; null for none. */
  readonly project: string | null
}

/** A way to the server. */
export interface Way {
  readonly socket: Socket
  /** The daemon says words of `BridgeProtocol.ts` there. */
  readonly hasWords: boolean
  /** The daemon's address of the server. */
  readonly server: string
  /** What has been read already. */
  readonly rest: Buffer | null
}

/** How the attempt ends: in one of these. */
export interface Receiver {
  readonly onOpen: (way: Way) => void
  readonly onRefused: (refused: BridgeProtocol.Refused) => void
  /** A daemon was there, and has ended. */
  readonly onClosing: (reason: BridgeProtocol.Closing["reason"]) => void
  /** `code`: why nothing is at the daemon's control socket; null where a daemon is there, and has no socket of this server. */
  readonly onAbsent: (code: string | null) => void
}

export const dial = (wanted: Wanted, receiver: Receiver): void => {
  const { runtimeDir, server } = wanted
  const direct = (socket: Socket) => receiver.onOpen({ socket, hasWords: false, server, rest: null })
  const absent = () =>
    open(
      RuntimeDir.controlSocket(runtimeDir),
      (socket) => {
        socket.destroy()
        receiver.onAbsent(null)
      },
      // Too many at once is not nobody.
      (code) => receiver.onAbsent(code === "EAGAIN" ? null : code)
    )
  const elsewhere = () => {
    const other = read(RuntimeDir.socketPathFile(runtimeDir, server))
    if (other === undefined) absent()
    else open(other, direct, absent)
  }
  open(
    RuntimeDir.connectSocket(runtimeDir),
    (socket) => ask(socket, wanted, receiver),
    () => open(RuntimeDir.serverSocket(runtimeDir, server), direct, elsewhere)
  )
}

/** Opens a socket; the code is what went wrong. */
export const open = (path: string, onOpen: (socket: Socket) => void, onError: (code: string) => void): void => {
  const socket = process.getBuiltinModule("node:net").connect({ path })
  const failed = (error: NodeJS.ErrnoException) => onError(error.code ?? error.message)
  socket.once("error", failed)
  socket.once("connect", () => {
    socket.off("error", failed)
    // What goes wrong later ends it; "close" follows.
    socket.on("error", () => {})
    onOpen(socket)
  })
}

/** Says what is wanted, and reads the answer. */
const ask = (socket: Socket, { project, server }: Wanted, receiver: Receiver): void => {
  let read: Buffer | null = null
  const finish = () => {
    clearTimeout(deadline)
    socket.off("data", onData)
    socket.off("close", onClose)
  }
  const onClose = () => {
    finish()
    receiver.onAbsent(null)
  }
  const onData = (chunk: Buffer) => {
    read = read === null ? chunk : Buffer.concat([read, chunk])
    const end = read.indexOf(lineFeed)
    if (end === -1) return read.length > longest ? socket.destroy() : undefined
    finish()
    const word = BridgeProtocol.parse<BridgeProtocol.DaemonWord>(read.toString("utf8", 0, end))
    if (word?.["mcp-pool"] === "opened") {
      return receiver.onOpen({ socket, hasWords: true, server: word.server, rest: read.subarray(end + 1) })
    }
    socket.destroy()
    if (word?.["mcp-pool"] === "closing") return receiver.onClosing(word.reason)
    receiver.onRefused(word?.["mcp-pool"] === "refused" ? word : strange)
  }
  const deadline = setTimeout(() => socket.destroy(), patience)
  socket.on("data", onData)
  socket.on("close", onClose)
  socket.write(BridgeProtocol.line({ "mcp-pool": "open", protocol: BridgeProtocol.protocol, version, server, project }))
}

const strange: BridgeProtocol.Refused = {
  "mcp-pool": "refused",
  kind: "ServerUnavailable",
  code: 31001,
  message: `the daemon speaks what mcp-pool ${version} does not know: end it with "mcp-pool shutdown" and start it again`,
  exitCode: 1
}

const read = (path: string): string | undefined => {
  try {
    return process.getBuiltinModule("node:fs").readFileSync(path, "utf8").trim()
  } catch {
    return undefined
  }
}

const lineFeed = 0x0a
/** Bytes of an answer. */
const longest = 64 * 1024
/** Milliseconds. */
const patience = 30_000
