/** A `fetch` over a Unix socket, for clients that can be told which one to use. */
import * as http from "node:http"
import { Readable } from "node:stream"

/** Its URLs name a path alone; their host is not looked at. */
export const make =
  (socketPath: string) =>
  (url: string | URL, { body, headers, method = "GET", signal }: RequestInit = {}): Promise<Response> =>
    new Promise((resolve, reject) => {
      const request = http.request(
        {
          socketPath,
          path: new URL(url).pathname,
          method,
          headers: Object.fromEntries(new Headers(headers)),
          ...(signal === undefined || signal === null ? {} : { signal })
        },
        (response) => {
          // The cast: what Node calls a web stream has types of its own.
          const stream = Readable.toWeb(response) as ReadableStream
          const its = Object.entries(response.headers).map(([name, value]): [string, string] => [name, String(value)])
          resolve(new Response(stream, { status: response.statusCode ?? 500, headers: its }))
        }
      )
      request.on("error", reject)
      request.end(body)
    })
