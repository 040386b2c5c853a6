/** What clients and servers write to one another in the world of routing, in all the ways it may be written. */
import type { Asking } from "./RoutingEvents.ts"

/** In how many ways a request may be written. */
const requestShapes: ReadonlyArray<{
  readonly isIrregular: boolean
  readonly text: (id: string, method: string, params: string) => string
}> = [
  {
    isIrregular: false,
    text: (id, method, params) => `{"jsonrpc":"2.0","id":${id},"method":"${method}","params":{${params}}}`
  },
  {
    isIrregular: false,
    text: (id, method, params) => `{"method":"${method}","params":{${params}},"jsonrpc":"2.0","id":${id}}`
  },
  {
    isIrregular: false,
    text: (id, method, params) =>
      `\t{ "params" : {"arguments":{"id":1,"progressToken":2,"x":",\\"id\\":5}é"}, ${params} } , "id" :  ${id} ,"method":"${method.replace("/", "\\/")}", "jsonrpc":"2.0"} `
  },
  {
    isIrregular: true,
    text: (id, method, params) => `{"jsonrpc":"2.0","i\\u0064":${id},"method":"${method}","params":{${params}}}`
  },
  {
    isIrregular: true,
    text: (id, method, params) => `{"id":9,"jsonrpc":"2.0","id":${id},"method":"${method}","params":{${params}}}`
  },
  {
    isIrregular: true,
    text: (id, method, params) =>
      `{"jsonrpc":"2.0","id":${id},"method":"${method}","params":{"_meta":{"progressToken":3},${params}}}`
  },
  {
    isIrregular: false,
    text: (id, method, params) =>
      `{"jsonrpc":"2.0","id":${id},"method":"${method}","params":{${params},"text":"${"x".repeat(70_000)}"}}`
  }
]

/** Whether the pool writes it anew before it reads it. */
export const isIrregular = (shape: number): boolean => requestShapes[shape % requestShapes.length]!.isIrregular

/** Whether it is so long that a few of them make others wait where a server does not read, which `Turns` has tests for. */
export const isLong = (shape: number): boolean => shape % requestShapes.length === requestShapes.length - 1

/** In how many ways a request for a whole list may be written. */
const wholeShapes: ReadonlyArray<(id: string, method: string) => string> = [
  (id, method) => `{"jsonrpc":"2.0","id":${id},"method":"${method}"}`,
  (id, method) => `{"method":"${method}","params":{},"jsonrpc":"2.0","id":${id}}`,
  (id, method) => ` { "id" : ${id} , "params" : { \t } , "method" : "${method.replace("/", "\\/")}", "jsonrpc":"2.0"} `,
  (id, method) => `{"jsonrpc":"2.0","i\\u0064":${id},"method":"x","method":"${method}","params":{}}`
]

export const requestText = ({ id, kind, marker, shape, token }: Asking & { readonly marker: number }): string => {
  if (kind.isWhole === true) return wholeShapes[shape % wholeShapes.length]!(id, kind.method)
  const meta = token === null ? '"_meta":{"traceparent":"é"}' : `"_meta":{"progressToken":${token}}`
  const marked = `"marker":${marker}${kind.name === null ? "" : `,"name":"${kind.name}"`}`
  const params = shape % 2 === 0 ? `${marked},${meta}` : `${meta},${marked}`
  return requestShapes[shape % requestShapes.length]!.text(id, kind.method, params)
}

const long = "x".repeat(5000)

/** In how many ways a server may answer: what it says under its id, and what must be heard under the client's. */
export const answerShapes: ReadonlyArray<
  (marker: number) => { readonly said: (id: string) => string; readonly heard: (id: string) => string }
> = [
  (marker) => asSaid((id) => `{"jsonrpc":"2.0","id":${id},"result":{"marker":${marker}}}`),
  (marker) =>
    asSaid((id) => `{"result":{"id":1,"marker":${marker},"text":",\\"id\\":5}é"},"jsonrpc":"2.0","id":${id}}`),
  (marker) => asSaid((id) => ` {"jsonrpc":"2.0", "id" : ${id} ,"error":{"code":-1,"message":"漢","data":${marker}}}`),
  (marker) => asSaid((id) => `{"jsonrpc":"2.0","id":${id},"result":{"marker":${marker},"text":"${long}"}}`),
  (marker) => asSaid((id) => `{"result":{"marker":${marker},"text":"${long}","id":7},"jsonrpc":"2.0","id":${id}}`),
  (marker) => asSaid((id) => `{"jsonrpc":"2.0","result":{"marker":${marker}},"id" : ${id} ,"text":"${long}"}`),
  (marker) => ({
    said: (id) => `{"jsonrpc":"2.0","i\\u0064":${id},"result":{"marker":${marker}, "text":"${long}"}}`,
    heard: (id) => `{"jsonrpc":"2.0","id":${id},"result":{"marker":${marker},"text":"${long}"}}`
  }),
  (marker) => ({
    said: (id) => `{"id":0,"jsonrpc":"2.0","result":{"marker":${marker}}, "id":${id}}`,
    heard: (id) => `{"id":${id},"jsonrpc":"2.0","result":{"marker":${marker}}}`
  })
]

const asSaid = (text: (id: string) => string) => ({ said: text, heard: text })

export const progressShapes: ReadonlyArray<(token: string, count: number) => string> = [
  (token, n) =>
    `{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":${token},"progress":${n}}}`,
  (token, n) =>
    `{"params":{"progress":${n},"message":"é", "progressToken" : ${token} },"method":"notifications\\/progress","jsonrpc":"2.0"} `
]

export const announcements = [
  "notifications/tools/list_changed",
  "notifications/prompts/list_changed",
  "notifications/future",
  "notifications/tasks/status",
  "notifications/message"
]

/** What a client may send that is no request, and how the answer begins where there is one. */
export const clientGarbage: ReadonlyArray<readonly [text: string, begin: string | null]> = [
  ["hello", '{"jsonrpc":"2.0","id":null,"error":{"code":-32700,'],
  ['{"jsonrpc":"2.0","id":1,"method":"tools/call"', '{"jsonrpc":"2.0","id":null,"error":{"code":-32700,'],
  ["[]", '{"jsonrpc":"2.0","id":null,"error":{"code":-32600,'],
  ['{"id":1,"method":"tools/call"}', '{"jsonrpc":"2.0","id":1,"error":{"code":-32600,'],
  ['{"jsonrpc":"2.0","id":"x"}', '{"jsonrpc":"2.0","id":"x","error":{"code":-32600,'],
  ['{"jsonrpc":"2.0","id":2,"method":"tools/call","params":[]}', '{"jsonrpc":"2.0","id":2,"error":{"code":-32602,'],
  ['{"jsonrpc":"2.0","id":1,"result":{}}', null],
  ['{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":1}}', null],
  ["", null],
  ["\r", null]
]

/** What a server may say that concerns nobody; it knows a request's id. */
export const serverGarbage: ReadonlyArray<(id: number) => string> = [
  () => "Listening on port 3000",
  () => "{}",
  (id) => `{"jsonrpc":"2.0","id":${id},"result":`,
  (id) => `{"jsonrpc":"2.0","id":"${id}","result":{}}`,
  (id) => `{"jsonrpc":"2.0","id":${id}}`,
  (id) => `{"jsonrpc":"2.0","id":[${id}],"result":{}}`,
  (id) => `{"jsonrpc":"2.0","id":-${id}.5,"result":{}}`,
  () => '{"jsonrpc":"2.0","id":999999,"result":{}}',
  () => `{"jsonrpc":"2.0","result":"${long}","id":999999}`,
  () => '{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":"x","progress":1}}',
  () => '{"jsonrpc":"2.0","method":"notifications/progress","params":{}}',
  (id) => `{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":"${id}","progress":1}}`,
  (id) => `{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":${id}}}`,
  () => "[]",
  () => ""
]
