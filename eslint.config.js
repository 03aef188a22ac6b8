import js from '@eslint/js'
import { defineConfig } from 'eslint/config'
import tseslint from 'typescript-eslint'
import { stowagePlugin } from './scripts/lint/layer-rules.ts'

const noDefaultExport = {
  selector: 'ExportDefaultDeclaration',
  message: 'Named exports only: one name for one thing, everywhere.',
}

const noWallClock = [
  {
    selector: "CallExpression[callee.object.name='Date'][callee.property.name='now']",
    message: 'Time is passed in: take a Clock.',
  },
  {
    selector: "NewExpression[callee.name='Date'][arguments.length=0]",
    message: 'Time is passed in: take a Clock.',
  },
  {
    selector: "CallExpression[callee.object.name='Math'][callee.property.name='random']",
    message: 'Randomness is passed in: take an IdSource.',
  },
]

const noEnvironment = {
  object: 'process',
  property: 'env',
  message: 'The environment is read in src/config only.',
}

const environmentImports = [
  { name: 'node:process', importNames: ['env'], message: noEnvironment.message },
  { name: 'process', message: "Write 'node:process'." },
]

const randomImports = {
  name: 'node:crypto',
  importNames: ['randomUUID', 'randomBytes', 'randomInt', 'getRandomValues'],
  message: 'Ids and randomness are passed in: take an IdSource.',
}

export default defineConfig(
  { ignores: ['node_modules/', '.tools/', '.cache/', 'dist/', 'data/', 'coverage/', 'console/'] },
  { linterOptions: { reportUnusedDisableDirectives: 'error' } },
  js.configs.recommended,
  {
    files: ['**/*.ts'],
    extends: [tseslint.configs.strictTypeChecked],
    languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname } },
    plugins: { stowage: stowagePlugin },
    rules: {
      '@typescript-eslint/switch-exhaustiveness-check': ['error', { considerDefaultExhaustiveForUnions: true }],
      '@typescript-eslint/consistent-type-imports': ['error', { fixStyle: 'inline-type-imports' }],
      '@typescript-eslint/no-unused-vars': [
        'error',
        { argsIgnorePattern: '^_', varsIgnorePattern: '^_', caughtErrorsIgnorePattern: '^_', ignoreRestSiblings: true },
      ],
      '@typescript-eslint/return-await': ['error', 'error-handling-correctness-only'],
      '@typescript-eslint/restrict-template-expressions': ['error', { allowNumber: true, allowBoolean: true }],
      '@typescript-eslint/no-confusing-void-expression': ['error', { ignoreArrowShorthand: true }],
      // A failure kept for later is unknown, and is thrown again as it was; literals are still refused.
      '@typescript-eslint/only-throw-error': 'off',
      'no-throw-literal': 'error',
      '@typescript-eslint/no-generated-empty-object-type': 'off',
      // Drivers hand out numbers where their types say enum.
      '@typescript-eslint/no-unsafe-enum-assignment': 'off',
      '@typescript-eslint/no-invalid-void-type': ['error', { allowInGenericTypeArguments: true, allowAsThisParameter: true }],
      // An async function may keep an interface's promise without waiting for anything.
      '@typescript-eslint/require-await': 'off',
      // Wire input and rows are checked where the types already promise what a peer or a disk may not keep.
      '@typescript-eslint/no-unnecessary-condition': 'off',
      // With noUncheckedIndexedAccess, an index proven by the loop around it needs the assertion.
      '@typescript-eslint/no-non-null-assertion': 'off',
      '@typescript-eslint/no-unnecessary-type-parameters': 'off',
      // A fifth of the whole run's time, for what `tsc` nearly always says as well.
      '@typescript-eslint/no-unsafe-class-instance-assignment': 'off',
      '@typescript-eslint/no-misused-spread': ['error', { allow: ['string'] }],
      'no-restricted-syntax': ['error', noDefaultExport],
      'no-control-regex': 'off',
      eqeqeq: ['error', 'always', { null: 'ignore' }],
      'no-template-curly-in-string': 'error',
      'no-self-compare': 'error',
      'require-atomic-updates': 'off',
    },
  },
  {
    files: ['src/**/*.ts'],
    ignores: ['src/**/*.test.ts', 'src/**/contract.ts', 'src/**/*.test-support.ts'],
    rules: {
      'stowage/layers': 'error',
      'stowage/composition': 'error',
      'stowage/commands': 'error',
      'no-console': 'error',
      'no-restricted-properties': ['error', noEnvironment],
      'no-restricted-imports': ['error', { paths: [...environmentImports, randomImports] }],
      'no-restricted-syntax': ['error', noDefaultExport, ...noWallClock],
    },
  },
  {
    // The two places where time and randomness enter the program.
    files: ['src/internal/clock.ts', 'src/internal/ids.ts'],
    rules: {
      'no-restricted-imports': ['error', { paths: environmentImports }],
      'no-restricted-syntax': ['error', noDefaultExport],
    },
  },
  {
    files: ['src/config/**/*.ts'],
    rules: { 'no-restricted-properties': 'off', 'no-restricted-imports': ['error', { paths: [randomImports] }] },
  },
  {
    files: ['src/main.ts', 'src/cli.ts', 'src/cli/**/*.ts'],
    rules: { 'no-console': 'off' },
  },
  {
    // Answers of other programs are read loosely here; what they must say is asserted right after.
    files: ['test/**/*.ts', 'bench/**/*.ts', 'scripts/**/*.ts', 'src/**/*.test.ts', 'src/**/contract.ts'],
    rules: {
      '@typescript-eslint/no-unsafe-assignment': 'off',
      '@typescript-eslint/no-unsafe-member-access': 'off',
      '@typescript-eslint/no-unsafe-argument': 'off',
      '@typescript-eslint/no-unsafe-call': 'off',
      '@typescript-eslint/no-unsafe-return': 'off',
      '@typescript-eslint/unbound-method': 'off',
      '@typescript-eslint/no-misused-spread': 'off',
      'no-template-curly-in-string': 'off',
      '@typescript-eslint/use-unknown-in-catch-callback-variable': 'off',
    },
  },
  {
    files: ['*.config.ts', 'scripts/closing-line-reporter.ts'],
    rules: { 'no-restricted-syntax': 'off' },
  },
)
