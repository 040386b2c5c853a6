/**
 * The helper that outlives a pool: a shell in a session of its own that waits for its stdin to close. Then whoever held
 * the other end is gone, and it ends what that left behind: SIGTERM, a second later SIGKILL. Lives from `start`
 * until `end`; one that dies before is replaced.
 */
import { Effect } from "effect"
import { type ChildProcess, spawn } from "node:child_process"
import type { Writable } from "node:stream"

export interface Undertaker {
  /** Starts it where it does not run yet; once this has returned, it acts. */
  readonly start: () => void
  /** Tells it of one group. Never blocks and never throws. */
  readonly tell: (word: "guard" | "release", group: number) => void
  /** Ends it, at once or when it has done its work. Its wait is bounded and runs on native time. */
  readonly end: (how: "at once" | "after work") => Effect.Effect<void>
}

/** Plain callbacks: it must be told in the same turn in which a process starts. */
export const make = (options: {
  /** What the environment of each process that is to be ended holds, as text. */
  readonly marker: string
  /** Groups that a new helper is told of. */
  readonly groups: Iterable<number>
  readonly onLoss: (reason: string) => void
}): Undertaker => {
  const { groups, marker, onLoss } = options
  let child: ChildProcess | undefined
  let restart: NodeJS.Timeout | undefined
  let startedAt = 0
  let delay = shortestDelay
  let ended = false

  const run = () => {
    restart = undefined
    startedAt = performance.now()
    let current: ChildProcess
    try {
      current = spawnHelper()
    } catch (cause) {
      // No memory for another process, most likely.
      return again((cause as Error).message)
    }
    child = current
    current.on("error", (error) => lost(current, error.message))
    current.on("exit", (code, signal) => lost(current, `it ended with ${signal ?? `code ${code}`}`))
    // That it is gone is told by its exit.
    current.stdin?.on("error", () => {})
    current.unref()
    // A pipe to a child is a socket.
    ;(current.stdin as (Writable & { unref?: () => void }) | null)?.unref?.()
    write(`marker ${marker}\n${Array.from(groups, (group) => `guard ${group}\n`).join("")}`)
  }

  const lost = (which: ChildProcess, reason: string) => {
    if (which !== child) return
    child = undefined
    if (!ended) again(reason)
  }

  const again = (reason: string) => {
    onLoss(reason)
    const lived = performance.now() - startedAt
    restart = setTimeout(run, Math.max(0, delay - lived)).unref()
    delay = lived > longestDelay ? shortestDelay : Math.min(delay * 2, longestDelay)
  }

  const write = (lines: string) => {
    const stdin = child?.stdin
    if (!stdin?.writable) return
    stdin.write(lines)
    // It does not read: another one will.
    if (stdin.writableLength > maxUnread) child?.kill("SIGKILL")
  }

  return {
    start: () => {
      if (child === undefined && restart === undefined && !ended) run()
    },
    tell: (word, group) => write(`${word} ${group}\n`),
    end: (how) =>
      Effect.callback((resume) => {
        ended = true
        clearTimeout(restart)
        const current = child
        if (current === undefined) return resume(Effect.void)
        const done = () => {
          clearTimeout(timer)
          resume(Effect.void)
        }
        // It exits by this too.
        const timer = setTimeout(() => current.kill("SIGKILL"), waits[how])
        current.once("exit", done)
        current.once("error", done)
        if (how === "at once") write("end\n")
        current.stdin?.end()
      })
  }
}

const spawnHelper = (): ChildProcess =>
  spawn("/bin/sh", ["-c", script, "mcp-pool-helper"], {
    cwd: "/",
    // Nothing of a marker: this pool may itself run under another's.
    env: { PATH: `/usr/bin:/bin:${process.env["PATH"] ?? "/usr/sbin"}` },
    detached: true,
    stdio: ["pipe", "ignore", "ignore"]
  })

/**
 * In POSIX words only, for dash, busybox and macOS. A line that was torn by its writer's death is not obeyed. What is
 * found must be missing in several rounds, since a process between fork and exec does not show its marker yet. The
 * grep of a busybox does not look behind a NUL, so it is given lines. A group counts while a member is no zombie; it is
 * forgotten when it has none, so that its number is never signalled when it is another's.
 */
const script = `# The helper of mcp-pool: ends its servers when the pool is gone and could not.
trap '' HUP INT QUIT TERM PIPE
marker= groups=' '
drop() {
  case $groups in *" $1 "*) groups="\${groups%% $1 *} \${groups#* $1 }" ;; esac
}
while IFS=' ' read -r word value; do
  case $word in
    marker) marker=$value ;;
    guard) [ "$value" -gt 1 ] && groups="$groups$value " ;;
    release) drop "$value" ;;
    end) exit 0 ;;
  esac
done
[ "$marker" ] || exit 0
trap 'for group in $groups; do kill -s KILL -- "-$group"; done 2>/dev/null' EXIT
proc= plain= now=0 quiet=0 told=' '
[ -r /proc/self/environ ] && proc=1
printf 'a\\0b' | grep -qsa -e b && plain=1
carriers() {
  if [ "$plain" ]; then
    grep -lsa -e "$marker" /proc/[0-9]*/environ
  else
    for file in /proc/[0-9]*/environ; do
      tr '\\0' '\\n' <"$file" | grep -q -e "$marker" && echo "$file"
    done
  fi
}
clock() {
  if [ "$proc" ] && read -r up rest </proc/uptime; then
    now=$((\${up%.*} * 100 + 1\${up#*.} - 100))
  else
    now=$((now + 10))
  fi
}
lives() {
  if [ "$alive" ]; then
    case $alive in *" $1 "*) return 0 ;; *) return 1 ;; esac
  fi
  kill -s 0 -- "-$1"
}
end() {
  found=1
  if [ "$signal" = TERM ]; then
    case $told in *" $1 "*) return ;; esac
    told="$told$1 "
  fi
  kill -s "$signal" -- "$1"
}
clock
begin=$now
while [ "$quiet" -lt 4 ] && [ $((now - begin)) -lt 500 ]; do
  signal=TERM alive= found=
  [ $((now - begin)) -ge 90 ] && signal=KILL
  [ "$proc" ] && alive=$(sed -n 's/^.*) [^XZ] [0-9]* \\([0-9]*\\) .*$/ \\1 /p' /proc/[0-9]*/stat)
  for group in $groups; do
    if lives "$group"; then end "-$group"; else drop "$group"; fi
  done
  if [ "$proc" ]; then
    for file in $(carriers); do
      pid=\${file#/proc/}
      end "\${pid%/*}"
    done
  fi
  quiet=$((quiet + 1))
  [ "$found" ] && quiet=0
  sleep 0.1 || sleep 1
  clock
done
`

/** How long its exit is waited for, in milliseconds. */
const waits = { "at once": 1000, "after work": 2500 }
/** The first and the longest time between two starts, in milliseconds; it doubles while they are short-lived. */
const shortestDelay = 1000
const longestDelay = 60_000
/** Bytes that it may leave unread. */
const maxUnread = 64 * 1024
