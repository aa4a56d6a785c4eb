#include "node/trash_remover.h"

#include <gtest/gtest.h>

#include <chrono>
#include <future>
#include <memory>
#include <string>
#include <thread>

#include "env/fault_env.h"
#include "env/mem_env.h"
#include "testing/wait_until.h"

namespace arima::node {
namespace {

class TrashRemoverTest : public ::testing::Test {
 protected:
  TrashRemoverTest() {
    auto dir = DataDir::Open(&env_, "vol");
    EXPECT_TRUE(dir);
    dir_ = std::move(*dir);
  }
  void MakeFiles(const std::string& path, int count) {
    ASSERT_TRUE(env::MakeDirs(mem_, path));
    for (int i = 0; i < count; ++i) {
      ASSERT_TRUE(env::WriteFileAtomically(mem_, path + "/f" + std::to_string(i), "x"));
    }
  }
  size_t TrashCount() { return dir_->Trash()->size(); }

  env::MemEnv mem_;
  env::FaultEnv env_{mem_, 1};
  std::unique_ptr<DataDir> dir_;
  Logger logger_{"test", LogLevel::kError, LogFormat::kText};
};

TEST_F(TrashRemoverTest, RemovesWhatLiesThereAndWhatComesAndNothingElse) {
  MakeFiles("vol/db-1", 3);
  MakeFiles("vol/db-1/inner", 3);
  MakeFiles("vol/db-2", 3);
  ASSERT_TRUE(dir_->MoveToTrash("vol/db-1"));
  TrashRemover remover(dir_.get(), &logger_);
  remover.Start();
  WaitUntil([&] { return TrashCount() == 0; });
  MakeFiles("vol/snap-7", 3);
  ASSERT_TRUE(dir_->MoveToTrash("vol/snap-7"));
  WaitUntil([&] { return TrashCount() == 0 && remover.waiting() == 0; });
  EXPECT_EQ(mem_.List("vol/db-2")->size(), 3u);
  remover.Stop();
  ASSERT_TRUE(dir_->MoveToTrash("vol/db-2"));
  EXPECT_EQ(TrashCount(), 1u) << "it was stopped";
}

TEST_F(TrashRemoverTest, StopWaitsForOneFileOnly) {
  MakeFiles("vol/db-1", 1000);
  ASSERT_TRUE(dir_->MoveToTrash("vol/db-1"));
  std::promise<void> reached;
  std::promise<void> go_on;
  env_.SetObserver([&](env::Op op, const std::string&) {
    if (op != env::Op::kUnlink || env_.count(op) != 10) return;
    reached.set_value();
    go_on.get_future().wait();
  });
  TrashRemover remover(dir_.get(), &logger_);
  remover.Start();
  reached.get_future().wait();
  EXPECT_EQ(remover.waiting(), 1u);
  remover.RequestStop();
  go_on.set_value();
  remover.Stop();
  ASSERT_EQ(TrashCount(), 1u);
  EXPECT_EQ(mem_.List(dir_->Trash()->front())->size(), 990u);
  // The next life ends it.
  env_.SetObserver(nullptr);
  TrashRemover next(dir_.get(), &logger_);
  next.Start();
  WaitUntil([&] { return TrashCount() == 0; });
}

TEST_F(TrashRemoverTest, WhatCannotBeRemovedIsTriedAgainWhenSomethingComes) {
  MakeFiles("vol/db-1", 3);
  MakeFiles("vol/db-2", 3);
  ASSERT_TRUE(dir_->MoveToTrash("vol/db-1"));
  ASSERT_TRUE(dir_->MoveToTrash("vol/db-2"));
  env_.Inject({.op = env::Op::kUnlink, .lasting = true, .path_part = "trash-1/"});
  TrashRemover remover(dir_.get(), &logger_);
  remover.Start();
  WaitUntil([&] { return TrashCount() == 1; });
  env_.ClearFaults();
  MakeFiles("vol/db-3", 1);
  ASSERT_TRUE(dir_->MoveToTrash("vol/db-3"));
  WaitUntil([&] { return TrashCount() == 0; });
}

}  // namespace
}  // namespace arima::node
