import { setImmediate as nextTurn } from 'node:timers/promises'
import { asksForMetrics, evaluateMath, idsIn, MathProblem, parseMath, type MathExpression, type NamedSeries } from '../../../../metrics/metric-math.ts'
import type { SeriesValue } from '../../../../metrics/metric-reader.ts'
import type { Input } from '../../shapes.ts'
import { validation } from './errors.ts'
import type * as shapes from './shapes.ts'

/**
 * Values that one request may read, and those that it may compute with, what is in between included: some hundreds of milliseconds and
 * a hundred megabytes. Five hundred metrics by the minute for a day are less, and so is their sum.
 */
const mostValues = 1_000_000

type Query = Input<typeof shapes.metricDataQueries>[number]
type MetricStat = NonNullable<Query['MetricStat']>

/** What a query gives. */
interface Found {
  readonly lines: readonly NamedSeries[]
  /** True where it is a list of metrics, however long. */
  readonly isList: boolean
  readonly periodSeconds: number
}

/** The lines of a graph: each query is read or computed once, whichever others ask for it. */
export class GraphLines {
  readonly #queries: ReadonlyMap<string, Query>
  readonly #expressions = new Map<string, MathExpression>()
  readonly #span: { readonly from: number; readonly to: number }
  readonly #read: (stat: MetricStat) => Promise<readonly SeriesValue[]>
  readonly #found = new Map<string, Found>()
  readonly #underWay = new Set<string>()
  #leftToRead = mostValues
  #leftToCompute = mostValues

  /** @throws AwsError ValidationError for an expression that is none */
  constructor(queries: readonly Query[], span: { readonly from: number; readonly to: number }, read: (stat: MetricStat) => Promise<readonly SeriesValue[]>) {
    this.#queries = new Map(queries.map((query) => [query.Id, query]))
    this.#span = span
    this.#read = read
    for (const { Id, Expression } of queries) if (Expression !== undefined) this.#expressions.set(Id, inExpression(Id, () => parseMath(Expression)))
  }

  /** @throws AwsError ValidationError where an expression cannot be computed */
  async of({ Id }: Query): Promise<readonly NamedSeries[]> {
    return (await this.#find(Id, Id)).lines
  }

  async #find(id: string, askedBy: string): Promise<Found> {
    const known = this.#found.get(id)
    if (known !== undefined) return known
    const query = this.#queries.get(id)
    if (query === undefined) throw problem(askedBy, `there is no query ${id}`)
    if (this.#underWay.has(id)) throw problem(id, 'it asks for itself')
    this.#underWay.add(id)
    const expression = this.#expressions.get(id)
    const found = expression === undefined ? await this.#metric(query) : await this.#compute(id, expression)
    this.#underWay.delete(id)
    this.#found.set(id, found)
    return found
  }

  async #metric({ Id, MetricStat }: Query): Promise<Found> {
    const values = await this.#read(MetricStat!)
    this.#leftToRead -= values.length
    if (this.#leftToRead < 0) throw validation(`The request reads more than ${mostValues.toLocaleString('en')} values: ask for fewer metrics, a longer Period or a shorter time.`)
    return { lines: [{ id: Id, series: new Map(values.map(({ at, value }) => [at, value])) }], isList: false, periodSeconds: MetricStat!.Period }
  }

  async #compute(id: string, expression: MathExpression): Promise<Found> {
    const metricIds = asksForMetrics(expression) ? [...this.#queries.values()].flatMap(({ Id, Expression }) => (Expression === undefined ? [Id] : [])) : []
    const inputs = new Map<string, Found>()
    for (const name of new Set([...idsIn(expression), ...metricIds])) inputs.set(name, await this.#find(name, id))
    const periods = new Set([...inputs.values()].map(({ periodSeconds }) => periodSeconds))
    const [periodSeconds] = periods
    if (periodSeconds === undefined) throw problem(id, 'it names no metric')
    if (periods.size > 1) throw problem(id, 'its metrics have different periods')
    const times: number[] = []
    for (let at = this.#span.from; at < this.#span.to; at += periodSeconds * 1000) times.push(at)
    // Others have their turns between expressions, of which each may take long.
    await nextTurn()
    const value = inExpression(id, () =>
      evaluateMath(expression, {
        valueOf: (name) => {
          const { lines, isList } = inputs.get(name)!
          return isList ? lines : lines[0]!.series
        },
        metrics: () => metricIds.flatMap((name) => inputs.get(name)!.lines),
        times,
        periodSeconds,
        spend: (count) => {
          this.#leftToCompute -= count
          return this.#leftToCompute >= 0
        },
      }),
    )
    if (typeof value === 'number') throw problem(id, 'its value is a number, and no metric')
    return value instanceof Map ? { lines: [{ id, series: value as ReadonlyMap<number, number> }], isList: false, periodSeconds } : { lines: value as readonly NamedSeries[], isList: true, periodSeconds }
  }
}

function problem(id: string, text: string): Error {
  return validation(`Error in expression '${id}': ${text}.`)
}

function inExpression<Result>(id: string, work: () => Result): Result {
  try {
    return work()
  } catch (error) {
    if (error instanceof MathProblem) throw problem(id, error.message)
    throw error
  }
}
