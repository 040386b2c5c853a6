/** Sockets that somebody listens at, and those that nobody does any more. */
import { Effect } from "effect"
import * as fs from "node:fs"
import * as net from "node:net"
import * as path from "node:path"

/** Listens at the path until the scope closes. */
export const listening = (server: net.Server, file: string) =>
  Effect.acquireRelease(
    Effect.callback<void>((resume) => {
      fs.mkdirSync(path.dirname(file), { recursive: true, mode: 0o700 })
      server.listen(file, () => resume(Effect.void))
    }),
    () => Effect.callback<void>((resume) => void server.close(() => resume(Effect.void)))
  )

/** What a process leaves that was killed while it listened: the name under which it did is not the one libuv removes. */
export const staleSocket = (file: string) =>
  Effect.scoped(
    Effect.tap(listening(net.createServer(), `${file}.1`), () => Effect.sync(() => fs.renameSync(`${file}.1`, file)))
  )
