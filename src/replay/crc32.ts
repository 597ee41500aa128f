/** CRC-32 (ISO 3309, as in gzip) of text as UTF-8. Browsers have no `node:zlib`, so it is implemented here. */

const POLYNOMIAL = 0xedb88320;

const table = Uint32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte;
  for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ POLYNOMIAL : crc >>> 1;
  return crc;
});

const utf8 = new TextEncoder();

/** `before`: the CRC of the preceding text, 0 at the start. */
export function crc32(text: string, before: number): number {
  let crc = ~before;
  for (const byte of utf8.encode(text)) crc = table[(crc ^ byte) & 0xff]! ^ (crc >>> 8);
  return ~crc >>> 0;
}
