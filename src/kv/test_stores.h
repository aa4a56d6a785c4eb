// Where the engines of the typed suites live: MemStore and RocksStore have the same functions, so
// that each fact is tested over both. Test-only.
//
//   Store store;
//   auto engine = store.Open();             // the store as it is now
//   store.CaptureCrash(engine.get());       // from now on, the store is what a crash now would
//   leave engine.reset(); engine = store.Open();  // the next life
#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <memory>
#include <string>

#include "kv/mem_engine.h"
#include "kv/rocks_engine.h"

namespace arima::kv {

class TempDirectory {
 public:
  TempDirectory() {
    std::string name = std::filesystem::temp_directory_path() / "arima-kv-XXXXXX";
    if (mkdtemp(name.data()) != nullptr) path_ = name;
  }
  ~TempDirectory() {
    std::error_code ignored;
    if (!path_.empty()) std::filesystem::remove_all(path_, ignored);
  }
  TempDirectory(const TempDirectory&) = delete;
  TempDirectory& operator=(const TempDirectory&) = delete;
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

template <class T>
T Must(Result<T> result) {
  EXPECT_TRUE(result) << result.error().ToString();
  return std::move(*result);
}

class MemStore {
 public:
  std::unique_ptr<Engine> Open() { return std::make_unique<MemEngine>(contents_); }
  void CaptureCrash(Engine* engine) {
    contents_ = dynamic_cast<MemEngine&>(*engine).DurableContents();
  }

 private:
  MemEngine::Contents contents_;
};

class RocksStore {
 public:
  // Small, so that little data already makes several tables on several levels.
  static RocksEngineOptions SmallOptions(const std::filesystem::path& path) {
    RocksEngineOptions options;
    options.path = path;
    options.write_buffer_bytes = 64 << 10;
    options.level_base_bytes = 256 << 10;
    options.table_file_bytes = 64 << 10;
    options.filter_partition_bytes = 256;
    options.block_cache_bytes = 1 << 20;
    return options;
  }
  RocksEngineOptions Options() const {
    return SmallOptions(directory_.path() / ("db-" + std::to_string(image_)));
  }
  std::unique_ptr<Engine> Open() {
    live_ = image_;
    return Must(OpenRocksEngine(Options()));
  }

  // Copies the files of the live database: all that a power cut would leave. The manifest first:
  // tables that come later are not in it and do no harm. A compaction may delete a table that the
  // copied manifest names; then everything is copied again.
  void CaptureCrash(Engine*) {
    const std::filesystem::path from = directory_.path() / ("db-" + std::to_string(live_));
    image_ = ++last_image_;
    const std::filesystem::path to = Options().path;
    for (int attempt = 0; attempt < 100; ++attempt) {
      std::filesystem::remove_all(to);
      std::filesystem::create_directory(to);
      if (CopyFiles(from, to, false) && CopyFiles(from, to, true) && OpenRocksEngine(Options())) {
        return;
      }
    }
    ADD_FAILURE() << "no consistent copy of " << from;
  }

 private:
  static bool CopyFiles(const std::filesystem::path& from, const std::filesystem::path& to,
                        bool tables) {
    std::error_code error;
    for (const auto& file : std::filesystem::directory_iterator(from)) {
      if ((file.path().extension() == ".sst") != tables) continue;
      std::filesystem::copy_file(file.path(), to / file.path().filename(), error);
      if (error) return false;
    }
    return true;
  }

  TempDirectory directory_;
  int last_image_ = 1;
  int image_ = 1;  // what Open would open
  int live_ = 1;   // what it opened last
};

using AllStores = testing::Types<MemStore, RocksStore>;

struct StoreName {
  template <class Store>
  static std::string GetName(int) {
    return std::is_same_v<Store, MemStore> ? "Mem" : "Rocks";
  }
};

}  // namespace arima::kv
