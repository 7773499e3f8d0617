export {
  type SqliteDatabase,
  type SqliteStatement,
  sqliteDialect,
} from './store/sql/dialects/prepared-sqlite.ts'
