import { expect, it } from 'vitest'
import { toldEventTypes } from '../../src/audit/told-events.ts'
import { unusualUseEventType } from '../../src/metrics/watch/unusual-event.ts'
import { filesUnder, readProjectFile } from './tree.ts'

/** What the details of events have that name no repository. */
const ofRegistries: Readonly<Record<string, object>> = { 'Stowage Usage Source Lost': { 'source-name': 'prod' }, [unusualUseEventType]: { unusual: 'REFUSALS' } }

it('every type of event is in the table that tells what it means', () => {
  const recorded = filesUnder('src/', '.ts').flatMap((path) =>
    [...readProjectFile(path).matchAll(/recordEvent\(\s*tx,\s*context,\s*[^,]+,\s*'([^']+)'/gu)].map((match) => match[1]),
  )
  const documented = [...readProjectFile('docs/reference/events.md').matchAll(/^\| `((?:ECR|Stowage) [^`]+)` \|/gmu)].map((match) => match[1])
  recorded.push(...toldEventTypes, unusualUseEventType)
  expect(recorded.length).toBeGreaterThan(5)
  expect(documented.toSorted()).toEqual([...new Set(recorded)].toSorted())
  const examples = [...readProjectFile('docs/reference/events.md').matchAll(/^`([^`]+)`\n\n```json\n(.+)\n```$/gmu)].map((match) => {
    expect(JSON.parse(match[2]!)).toMatchObject(ofRegistries[match[1]!] ?? { 'repository-name': 'team/app' })
    return match[1]
  })
  expect(examples.toSorted()).toEqual(documented.toSorted())
})
