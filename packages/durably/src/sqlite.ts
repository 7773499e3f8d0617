export {
  sqliteDialect,
  type SqliteDatabase,
  type SqliteStatement,
} from './store/sql/dialects/prepared-sqlite.ts'
