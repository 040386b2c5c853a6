/**
 * What the calls under one server's name came to: plain numbers that the message path adds to, and that are read only
 * where somebody looks. Lives as long as the server.
 */
import { type CallOutcome, callOutcomes } from "../CallOutcome.ts"

export class Traffic {
  /** Calls that are not answered yet. */
  inFlight = 0
  /** Calls that have ended. */
  readonly outcomes = Object.fromEntries(callOutcomes.map((outcome) => [outcome, 0])) as Record<CallOutcome, number>
  /** Bytes of clients' requests. */
  requestBytes = 0
  /** Bytes of servers' answers to them. */
  answerBytes = 0
  /** Lists that were asked for and needed no message to the server: calls like the others, that ended as `ok`. */
  cacheHits = 0
  /** How many calls took up to each of the {@link durationBounds}, those of the bound before not among them; then longer. */
  readonly durations = [...durationBounds.map(() => 0), 0]
  /** Milliseconds. */
  totalDuration = 0
  /** Milliseconds; of no call, `Infinity`. */
  shortest = Infinity
  /** Milliseconds. */
  longest = 0

  begin(bytes: number): void {
    this.inFlight++
    this.requestBytes += bytes
  }

  /** It goes elsewhere, and begins there. */
  withdraw(bytes: number): void {
    this.inFlight--
    this.requestBytes -= bytes
  }

  /** `millis` from its coming to its end. */
  end(outcome: CallOutcome, millis: number, bytes: number): void {
    this.inFlight--
    this.outcomes[outcome]++
    this.answerBytes += bytes
    this.totalDuration += millis
    if (millis < this.shortest) this.shortest = millis
    if (millis > this.longest) this.longest = millis
    let i = 0
    while (i < durationBounds.length && millis > durationBounds[i]!) i++
    this.durations[i]!++
  }
}

/** Milliseconds: from what a machine answers by itself to what a person waits for, and what runs for minutes. */
export const durationBounds: ReadonlyArray<number> = [
  1, 2, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10_000, 30_000, 60_000, 300_000
]
