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
  /** From now on bytes go to `onData`, some at once perhaps; `onEnd` is called at least once when no more come. */
  readonly listen: (onData: (chunk: Buffer) => void, onEnd: () => void) => void
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
  const preferred = (onError: () => void, other?: Socket) =>
    open(
      RuntimeDir.connectSocket(runtimeDir),
      (socket) => {
        other?.destroy()
        ask(socket, wanted, receiver)
      },
      onError
    )
  const direct = (socket: Socket) => {
    const listen: Way["listen"] = (onData, onEnd) => void socket.on("data", onData).on("end", onEnd).on("close", onEnd)
    // A daemon that has opened this one just now has opened that before.
    preferred(() => receiver.onOpen({ socket, hasWords: false, server, listen }), socket)
  }
  const absent = () => look(runtimeDir, receiver.onAbsent)
  const elsewhere = () => {
    const other = read(RuntimeDir.socketPathFile(runtimeDir, server))
    if (other === undefined) absent()
    else open(other, direct, absent)
  }
  preferred(() => open(RuntimeDir.serverSocket(runtimeDir, server), direct, elsewhere))
}

/** Whether a daemon is there: null, or why nothing is at its control socket. */
export const look = (runtimeDir: string, onSeen: (code: string | null) => void): void =>
  open(
    RuntimeDir.controlSocket(runtimeDir),
    (socket) => {
      socket.destroy()
      onSeen(null)
    },
    // Too many at once is not nobody, nor is one that was killed in this moment.
    (code) => onSeen(code === "EAGAIN" || code === "ECONNRESET" ? null : code)
  )

/** Opens a socket; the code is what went wrong. */
export const open = (path: string, onOpen: (socket: Socket) => void, onError: (code: string) => void): void => {
  let isOpen = false
  const socket = process.getBuiltinModule("node:net").connect({ path })
  socket.on("error", (error: NodeJS.ErrnoException) => {
    // What goes wrong later ends it; "close" follows.
    if (!isOpen) onError(error.code ?? error.message)
  })
  socket.on("connect", () => {
    isOpen = true
    onOpen(socket)
  })
}

/** Says what is wanted, and reads the answer. */
const ask = (socket: Socket, { project, server }: Wanted, receiver: Receiver): void => {
  let read: Buffer | null = null
  // Listeners stay, and what they do changes: that is all the same to Node, and less to load.
  let onEnd = () => receiver.onAbsent(null)
  let onData = (chunk: Buffer) => {
    const all = read === null ? chunk : Buffer.concat([read, chunk])
    read = all
    const end = all.indexOf(lineFeed)
    if (end === -1) return all.length > longest ? void socket.destroy() : undefined
    const word = BridgeProtocol.parse<BridgeProtocol.DaemonWord>(all.toString("utf8", 0, end))
    if (word?.["mcp-pool"] === "opened") {
      const listen: Way["listen"] = (data, ended) => {
        onData = data
        onEnd = ended
        if (end + 1 < all.length) data(all.subarray(end + 1))
      }
      return receiver.onOpen({ socket, hasWords: true, server: word.server, listen })
    }
    onEnd = () => {}
    socket.destroy()
    if (word?.["mcp-pool"] === "closing") return receiver.onClosing(word.reason)
    receiver.onRefused(word?.["mcp-pool"] === "refused" ? word : strange)
  }
  const ended = () => {
    const then = onEnd
    onEnd = () => {}
    then()
  }
  socket.on("data", (chunk) => onData(chunk))
  socket.on("end", ended)
  socket.on("close", ended)
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
