/** A raw MCP client on a Unix socket, as cheap as it can be while it checks every answer. */
import { once } from "node:events"
import { connect, type Socket } from "node:net"
import { lineReader } from "./lines.ts"

interface Answer {
  readonly id?: number
  readonly result?: Result
  readonly error?: { readonly message: string }
}

interface Result {
  readonly content?: ReadonlyArray<{ readonly text: string }>
  readonly tools?: ReadonlyArray<unknown>
}

interface Call {
  readonly resolve: (result: Result) => void
  readonly reject: (error: Error) => void
}

export class Client {
  readonly #socket: Socket
  readonly #calls = new Map<number, Call>()
  #nextId = 1

  private constructor(socket: Socket) {
    this.#socket = socket
    socket.on(
      "data",
      lineReader((line) => this.#settle(JSON.parse(line.toString())))
    )
    socket.on("error", () => {})
    socket.on("close", () => {
      for (const call of this.#calls.values()) call.reject(new Error("The connection closed before the answer"))
    })
  }

  /** Connects and does the MCP handshake. */
  static async open(path: string): Promise<Client> {
    const socket = connect(path)
    await once(socket, "connect")
    const client = new Client(socket)
    await client.#request("initialize", initialize)
    client.#send({ jsonrpc: "2.0", method: "notifications/initialized" })
    return client
  }

  async echo(text: string): Promise<void> {
    const { content } = await this.#request("tools/call", { name: "echo", arguments: { text } })
    if (content?.[0]?.text !== text) throw new Error("A call got the answer of another")
  }

  async big(bytes: number): Promise<void> {
    const { content } = await this.#request("tools/call", { name: "big", arguments: { bytes } })
    const length = content?.[0]?.text.length
    if (length !== bytes) throw new Error(`A result of ${bytes} bytes came back with ${length}`)
  }

  async list(count: number): Promise<void> {
    const { tools } = await this.#request("tools/list", {})
    if (tools?.length !== count) throw new Error(`A list of ${count} tools came back with ${tools?.length}`)
  }

  /** Stops reading: what is sent to this client from now on waits. */
  pause(): void {
    this.#socket.pause()
  }

  async close(): Promise<void> {
    if (this.#socket.closed) return
    const closed = once(this.#socket, "close")
    this.#socket.destroy()
    await closed
  }

  #request(method: string, params: unknown): Promise<Result> {
    const id = this.#nextId++
    this.#send({ jsonrpc: "2.0", id, method, params })
    return new Promise((resolve, reject) => this.#calls.set(id, { resolve, reject }))
  }

  #send(message: unknown): void {
    this.#socket.write(JSON.stringify(message) + "\n")
  }

  #settle({ id, result, error }: Answer): void {
    if (id === undefined) return
    const call = this.#calls.get(id)
    if (call === undefined) throw new Error(`Nobody asked for an answer ${id}`)
    this.#calls.delete(id)
    if (error === undefined) call.resolve(result ?? {})
    else call.reject(new Error(error.message))
  }
}

/** The parameters of a client's `initialize`. */
export const initialize = {
  protocolVersion: "2025-06-18",
  capabilities: {},
  clientInfo: { name: "bench", version: "1" }
}
