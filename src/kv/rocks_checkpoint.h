// Between rocks_*.cc only: how the engine makes a checkpoint of its database.
#pragma once

#include <rocksdb/db.h>

#include <string>

#include "base/error.h"

namespace arima::kv {

// Engine::Checkpoint of `db`, after everything that must be in it was flushed. Any thread.
Status MakeCheckpoint(rocksdb::DB* db, const std::string& dir);

}  // namespace arima::kv
