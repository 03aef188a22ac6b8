/**
 * A complete static Linux executable (ELF, a few hundred bytes) that prints a line and exits with 0.
 * It lets tests build and run images FROM scratch where no base image can be pulled and no compiler
 * is installed.
 * @param architecture as Node spells it; default: this machine's.
 */
export function helloProgram(line: string, architecture: string = process.arch): Buffer {
  const text = Buffer.from(`${line}\n`)
  if (text.length > 0xffff) throw new Error('the line is too long for one 16-bit immediate')
  const machine = machines[architecture]
  if (machine === undefined) throw new Error(`no hello program is written for ${architecture}`)

  const loadAddress = 0x400000
  const headersSize = 64 + 56
  const codeSize = machine.code(0, 0).length
  const textAddress = loadAddress + headersSize + codeSize
  const code = machine.code(textAddress, text.length)
  const size = headersSize + code.length + text.length

  const elf = Buffer.alloc(64)
  // 64-bit, little-endian, version 1, System V.
  elf.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1, 0])
  elf.writeUInt16LE(2, 16) // ET_EXEC
  elf.writeUInt16LE(machine.id, 18)
  elf.writeUInt32LE(1, 20)
  elf.writeBigUInt64LE(BigInt(loadAddress + headersSize), 24) // entry point
  elf.writeBigUInt64LE(64n, 32) // where the program header is
  elf.writeUInt16LE(64, 52) // size of this header
  elf.writeUInt16LE(56, 54) // size of a program header
  elf.writeUInt16LE(1, 56) // number of them

  const segment = Buffer.alloc(56)
  segment.writeUInt32LE(1, 0) // PT_LOAD
  segment.writeUInt32LE(5, 4) // readable, executable
  segment.writeBigUInt64LE(0n, 8)
  segment.writeBigUInt64LE(BigInt(loadAddress), 16)
  segment.writeBigUInt64LE(BigInt(loadAddress), 24)
  segment.writeBigUInt64LE(BigInt(size), 32)
  segment.writeBigUInt64LE(BigInt(size), 40)
  segment.writeBigUInt64LE(0x10000n, 48)

  return Buffer.concat([elf, segment, code, text])
}

interface Machine {
  /** ELF's e_machine. */
  readonly id: number
  /** write(1, textAddress, textLength); exit(0). Its length does not depend on the arguments. */
  code(textAddress: number, textLength: number): Buffer
}

const machines: Readonly<Record<string, Machine>> = {
  x64: {
    id: 62,
    code(textAddress, textLength) {
      return Buffer.from([
        ...[0xb8, ...uint32(1)], // mov eax, 1 (write)
        ...[0xbf, ...uint32(1)], // mov edi, 1
        ...[0xbe, ...uint32(textAddress)], // mov esi, textAddress
        ...[0xba, ...uint32(textLength)], // mov edx, textLength
        ...[0x0f, 0x05], // syscall
        ...[0xb8, ...uint32(60)], // mov eax, 60 (exit)
        ...[0x31, 0xff], // xor edi, edi
        ...[0x0f, 0x05], // syscall
      ])
    },
  },
  arm64: {
    id: 183,
    code(textAddress, textLength) {
      return Buffer.from(
        [
          movz(0, 1),
          movz(1, textAddress & 0xffff),
          movk16(1, textAddress >>> 16),
          movz(2, textLength),
          movz(8, 64), // write
          svc,
          movz(0, 0),
          movz(8, 93), // exit
          svc,
        ].flatMap(uint32),
      )
    },
  },
}

const svc = 0xd4000001

function movz(register: number, value: number): number {
  return (0xd2800000 | (value << 5) | register) >>> 0
}

/** Sets bits 16–31 and keeps the others. */
function movk16(register: number, value: number): number {
  return (0xf2a00000 | (value << 5) | register) >>> 0
}

function uint32(value: number): number[] {
  return [value & 0xff, (value >>> 8) & 0xff, (value >>> 16) & 0xff, (value >>> 24) & 0xff]
}
