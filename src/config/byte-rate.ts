const unitBytes: Readonly<Record<string, number>> = {
  '': 1,
  K: 1000,
  M: 1000 ** 2,
  G: 1000 ** 3,
  KI: 1024,
  MI: 1024 ** 2,
  GI: 1024 ** 3,
}

/** A rate such as `50MB/s`, `8MiB/s` or `500KB/s` in bytes per second; undefined for any other text, and for none at all. */
export function parseByteRate(text: string): number | undefined {
  const [, digits = '', unit = ''] = /^(\d{1,6}(?:\.\d{1,3})?) ?([KMG]?i?)B\/s$/iu.exec(text) ?? []
  const bytesPerSecond = Number(digits) * (unitBytes[unit.toUpperCase()] ?? Number.NaN)
  return bytesPerSecond >= 1 ? bytesPerSecond : undefined
}
