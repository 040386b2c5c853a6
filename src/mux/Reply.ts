/** JSON-RPC messages that the pool writes itself, as ASCII lines. Pure. */
import { escaped } from "../ascii.ts"
import type { QuestionNotAttributable } from "../PoolError.ts"
import { toWire } from "../WireError.ts"
import type { Refusal } from "./Upstream.ts"

/** JSON text in ASCII, so that it may stand in latin-1 text as it is. */
export const json = (value: unknown): string => escaped(JSON.stringify(value))

/** An answer; `id` and `result` are JSON text. */
export const result = (id: string, result: string): string => `{"jsonrpc":"2.0","id":${id},"result":${result}}\n`

/** An error answer; `id` and `error` are JSON text. */
export const error = (id: string, error: string): string => `{"jsonrpc":"2.0","id":${id},"error":${error}}\n`

/** An error answer of the pool's own; `id` is JSON text. */
export const failure = (id: string, refusal: Refusal | QuestionNotAttributable): string =>
  error(id, "_tag" in refusal ? escaped(toWire(refusal)) : json(refusal))

export const request = (id: number, method: string, params: unknown): string =>
  `{"jsonrpc":"2.0","id":${id},"method":${json(method)},"params":${json(params)}}\n`

export const notification = (method: string, params?: unknown): string =>
  params === undefined
    ? `{"jsonrpc":"2.0","method":${json(method)}}\n`
    : `{"jsonrpc":"2.0","method":${json(method)},"params":${json(params)}}\n`
