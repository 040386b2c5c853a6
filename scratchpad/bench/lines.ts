/** Newline framing in linear time: calls `onLine` with each complete line, without its newline. */
export const lineReader = (onLine: (line: Buffer) => void) => {
  let parts: Array<Buffer> = []
  return (chunk: Buffer): void => {
    let start = 0
    for (let end = chunk.indexOf(10); end >= 0; end = chunk.indexOf(10, start)) {
      let line = chunk.subarray(start, end)
      start = end + 1
      if (parts.length > 0) {
        line = Buffer.concat([...parts, line])
        parts = []
      }
      if (line.length > 0) onLine(line)
    }
    if (start < chunk.length) parts.push(chunk.subarray(start))
  }
}
