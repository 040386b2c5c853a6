/** Durations and sizes as people write them in a configuration file. Pure. */
import { ByteSize, Duration, Option, Predicate, Schema, SchemaGetter } from "effect"

/**
 * A time: `"30 s"`, `"500 ms"`, `"5 min"`, `"2 seconds"`, `"1 hour"`, or a number of milliseconds; in the library any
 * `Duration.Input`. Finite, zero or more, and short enough for a timer (24 days).
 */
export const Time = Schema.declare((input: unknown): input is Duration.Input => Option.isSome(toDuration(input)), {
  expected: 'a duration such as "30 s", or a number of milliseconds, of at most 24 days'
}).pipe(
  Schema.decodeTo(Schema.Duration, {
    decode: SchemaGetter.transform((input) => Option.getOrElse(toDuration(input), () => Duration.zero)),
    encode: SchemaGetter.passthroughSubtype()
  })
)

/** A {@link Time} that is not zero. */
export const PositiveTime = Time.check(
  Schema.makeFilter((duration) => Duration.isPositive(duration), { expected: "a duration above zero" })
)

/** A size, decoded to bytes: `"10 MiB"`, `"32MiB"`, `"1 GB"` or a number of bytes; in the library any `ByteSize.Input`. */
export const Size = Schema.declare((input: unknown): input is ByteSize.Input => Option.isSome(toBytes(input)), {
  expected: 'a size such as "10 MiB" or a number of bytes'
}).pipe(
  Schema.decodeTo(Schema.Int, {
    decode: SchemaGetter.transform((input) => Option.getOrElse(toBytes(input), () => 0)),
    encode: SchemaGetter.passthroughSubtype()
  })
)

/** The longest delay that Node's timers keep; a longer one fires at once. */
const longest = Duration.millis(2 ** 31 - 1)

/** What people write, in the words of `Duration.Input`. */
const units: ReadonlyMap<string, Duration.Unit> = new Map<string, Duration.Unit>([
  ["ms", "millis"],
  ["milliseconds", "millis"],
  ["s", "seconds"],
  ["sec", "seconds"],
  ["secs", "seconds"],
  ["m", "minutes"],
  ["min", "minutes"],
  ["mins", "minutes"],
  ["h", "hours"],
  ["hr", "hours"],
  ["hrs", "hours"],
  ["d", "days"]
])

const durationFields = [
  "weeks",
  "days",
  "hours",
  "minutes",
  "seconds",
  "milliseconds",
  "microseconds",
  "nanoseconds"
] as const

const toDuration = (input: unknown): Option.Option<Duration.Duration> =>
  Option.filter(
    parseDuration(input),
    (duration) => !Duration.isNegative(duration) && Duration.isLessThanOrEqualTo(duration, longest)
  )

const parseDuration = (input: unknown): Option.Option<Duration.Duration> => {
  if (Predicate.isString(input)) {
    const match = /^\s*(\d+(?:\.\d+)?)\s*([a-z]+)\s*$/i.exec(input)
    if (match === null) return Option.none()
    const unit = match[2]!.toLowerCase()
    // The cast: `fromInput` answers None for a unit that it does not know.
    return Duration.fromInput(`${Number(match[1])} ${(units.get(unit) ?? unit) as Duration.Unit}`)
  }
  if (Predicate.isNumber(input)) return Number.isNaN(input) ? Option.none() : Option.some(Duration.millis(input))
  if (Predicate.isBigInt(input)) return Option.some(Duration.nanos(input))
  if (Duration.isDuration(input)) return Option.some(input)
  // Both shapes of `Duration.Input` are checked here, since `fromInput` takes any object for zero.
  if (Array.isArray(input)) {
    const [seconds, nanos, ...rest]: ReadonlyArray<unknown> = input
    return Predicate.isNumber(seconds) && Predicate.isNumber(nanos) && rest.length === 0
      ? Duration.fromInput([seconds, nanos])
      : Option.none()
  }
  if (!Predicate.isObject(input)) return Option.none()
  const fields = Object.entries(input)
  // The cast: its fields are looked at one by one.
  return fields.length > 0 && fields.every(([key, value]) => isDurationField(key) && Number.isFinite(value))
    ? Duration.fromInput(input as Duration.DurationObject)
    : Option.none()
}

const isDurationField = (key: string): boolean => durationFields.some((field) => field === key)

const toBytes = (input: unknown): Option.Option<number> => {
  const size = Predicate.isString(input)
    ? ByteSize.fromString(input)
    : Predicate.isNumber(input) || Predicate.isBigInt(input)
      ? ByteSize.fromInput(input)
      : Option.none()
  return Option.flatMap(size, ByteSize.toNumber)
}
