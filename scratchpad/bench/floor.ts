/**
 * The floor: the least plain Node that shares one stdio server over a Unix socket. It parses each line, rewrites the id
 * and serialises again; it has no features, no bounds and no error handling.
 *
 * Usage: node floor SOCKET COMMAND [ARGUMENT…]
 */
import { spawn } from "node:child_process"
import { createServer, type Socket } from "node:net"
import { lineReader } from "./lines.ts"

interface Message {
  id?: number | string
  readonly method?: string
  readonly result?: unknown
}

const [path, command, ...args] = process.argv.slice(2)
const server = spawn(command!, args, { stdio: ["pipe", "pipe", "inherit"] })
server.on("exit", () => process.exit(1))
process.on("SIGTERM", () => {
  server.kill()
  process.exit(0)
})

const pending = new Map<number, { readonly client: Socket; readonly id: number | string }>()
const waiting: Array<() => void> = []
let initialized: unknown
let nextId = 1

server.stdout.on(
  "data",
  lineReader((line) => {
    const message: Message = JSON.parse(line.toString())
    if (message.id === 0) {
      initialized = message.result
      server.stdin.write('{"jsonrpc":"2.0","method":"notifications/initialized"}\n')
      for (const answer of waiting) answer()
      return
    }
    const call = pending.get(message.id as number)
    if (call === undefined) return
    pending.delete(message.id as number)
    message.id = call.id
    call.client.write(JSON.stringify(message) + "\n")
  })
)
const clientInfo = { name: "floor", version: "0" }
const params = { protocolVersion: "2025-06-18", capabilities: {}, clientInfo }
server.stdin.write(JSON.stringify({ jsonrpc: "2.0", id: 0, method: "initialize", params }) + "\n")

createServer((client) => {
  client.on("error", () => {})
  client.on(
    "data",
    lineReader((line) => {
      const message: Message = JSON.parse(line.toString())
      const id = message.id
      if (id === undefined) return
      if (message.method === "initialize") {
        const answer = () => client.write(JSON.stringify({ jsonrpc: "2.0", id, result: initialized }) + "\n")
        if (initialized === undefined) waiting.push(answer)
        else answer()
        return
      }
      message.id = nextId++
      pending.set(message.id, { client, id })
      server.stdin.write(JSON.stringify(message) + "\n")
    })
  )
}).listen(path)
