/**
 * The span of one `executeTool`, where a tracer is there: its server, its tool and how it ended, and never what a tool was
 * told or said. Without a tracer nothing is made.
 */
import type { CallToolResult } from "@modelcontextprotocol/sdk/types.js"
import { Cause, Clock, Context, Effect, Exit, type Fiber, Result, Tracer } from "effect"
import type { CallOutcome } from "../CallOutcome.ts"

/** What `executeTool` fails with, as far as a span tells of it. */
export type Failure =
  | { readonly _tag: Exclude<keyof typeof outcomes, "ToolTimeout"> }
  | { readonly _tag: "ToolTimeout"; readonly phase: "waiting" | "executing" }

/** How an execution ended: as a call, or before it became one. */
export type ExecutionOutcome =
  | CallOutcome
  | "tool-not-found"
  | "tool-ambiguous"
  | "server-not-found"
  | "invalid-arguments"
  | "defect"

/** Null where nobody looks at spans. */
export type ToolSpan = Tracer.Span | null

/** Whether somebody looks at spans here. */
export const isTraced = (fiber: Fiber.Fiber<unknown, unknown>): boolean => fiber.cache.tracer !== undefined

/** Runs an execution in a span of its own. */
export const around = <E extends Failure>(
  name: string,
  execute: (span: ToolSpan) => Effect.Effect<CallToolResult, E>
): Effect.Effect<CallToolResult, E> =>
  Effect.acquireUseRelease(
    Effect.makeSpan("McpProxy.executeTool", { kind: "client", attributes: { tool: bounded(name) } }),
    (span) =>
      Effect.provideService(
        Effect.suspend(() => execute(span)),
        Tracer.ParentSpan,
        span
      ),
    (span, exit) =>
      Effect.map(Clock.currentTimeNanos, (now) => {
        const outcome = outcomeOf(exit)
        span.attribute("outcome", outcome)
        span.end(now, shown(exit, outcome))
      })
  )

/** It is known which tool it is. */
export const found = (span: ToolSpan, { server, tool }: { readonly server: string; readonly tool: string }): void => {
  span?.attribute("server", bounded(server))
  span?.attribute("tool", bounded(tool))
}

/**
 * A request's params with the span's trace context in `_meta`, as W3C's `traceparent`
 * (https://modelcontextprotocol.io/specification/2026-07-28/basic#meta, https://www.w3.org/TR/trace-context/). Effect's
 * spans have no `tracestate`.
 */
export const carried = (span: ToolSpan, params: Params): Params => {
  if (span === null) return params
  const { annotations, sampled, spanId, traceId } = span
  const isKnown = isTraceId.test(traceId) && isSpanId.test(spanId)
  if (!isKnown || Context.get(annotations, Tracer.DisablePropagation)) return params
  return { ...params, _meta: { traceparent: `00-${traceId}-${spanId}-${sampled ? "01" : "00"}` } }
}

type Params = { readonly [key: string]: unknown }

const outcomeOf = (exit: Exit.Exit<CallToolResult, Failure>): ExecutionOutcome => {
  if (Exit.isSuccess(exit)) return exit.value.isError === true ? "tool-error" : "ok"
  const failure = Cause.findError(exit.cause)
  if (Result.isFailure(failure)) return Cause.hasInterruptsOnly(exit.cause) ? "cancelled" : "defect"
  const error = failure.success
  if (error._tag === "ToolTimeout") return outcomes.ToolTimeout[error.phase]
  return outcomes[error._tag]
}

const outcomes = {
  ToolNotFound: "tool-not-found",
  ToolAmbiguous: "tool-ambiguous",
  ServerNotFound: "server-not-found",
  InvalidArguments: "invalid-arguments",
  ToolTimeout: { waiting: "queue-timeout", executing: "request-timeout" },
  ServerUnavailable: "unavailable",
  OutcomeUnknown: "outcome-unknown",
  ResultTooLarge: "result-too-large",
  Overloaded: "overloaded",
  RequestRejected: "rejected"
} as const

/** What a tracer is told: results, and errors that quote a caller or a server, are not for it. */
const shown = (exit: Exit.Exit<unknown, Failure>, outcome: ExecutionOutcome): Exit.Exit<void, unknown> => {
  if (Exit.isSuccess(exit)) return Exit.void
  const failure = Cause.findError(exit.cause)
  if (Result.isFailure(failure)) return Exit.failCause(exit.cause)
  return Exit.fail({ name: failure.success._tag, message: `the tool was not executed: ${outcome}` })
}

/** Callers choose names. */
const bounded = (text: string): string => (text.length <= maxName ? text : `${text.slice(0, maxName - 1)}…`)

const isTraceId = /^(?!0{32})[0-9a-f]{32}$/
const isSpanId = /^(?!0{16})[0-9a-f]{16}$/
/** Characters. */
const maxName = 128
