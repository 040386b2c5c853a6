/** What a request's headers must say for a message to be taken, and for its answer to be understood. Pure. */
import { protocolVersions } from "../server/Era.ts"

/** Whether the body is JSON. */
export const isJson = (contentType: string | undefined): boolean =>
  contentType === json || (contentType !== undefined && /^application\/json *(;|$)/i.test(contentType))

/** Whether an answer may be JSON as well as events, as who sends a message must say. */
export const acceptsBoth = (accept: string | undefined): boolean =>
  accept === both || (accepts(accept, "application", "json") && acceptsEvents(accept))

/** Whether an answer may be events. */
export const acceptsEvents = (accept: string | undefined): boolean => accepts(accept, "text", "event-stream")

/** Whether a message of this revision can be taken; without one it is 2025-03-26. */
export const isKnownVersion = (version: string | undefined): boolean =>
  version === undefined || protocolVersions.some((known) => known === version)

/** Whether events of this revision begin with one that says nothing but its id, and how long to wait before another try. */
export const isPrimed = (version: string | undefined): boolean => version !== undefined && version >= "2025-11-25"

const json = "application/json"
const both = "application/json, text/event-stream"

const accepts = (accept: string | undefined, type: string, subtype: string): boolean =>
  accept !== undefined &&
  accept.split(",").some((part) => {
    const [range = "", ...parameters] = part.split(";").map((word) => word.trim().toLowerCase())
    const isMeant = range === `${type}/${subtype}` || range === `${type}/*` || range === "*/*"
    return isMeant && !parameters.some((parameter) => /^q=0(\.0*)?$/.test(parameter))
  })
