// The manifest as bytes, and descriptions of directories in memory.
#include "snapshot/manifest.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/checksum.h"
#include "base/coding.h"
#include "env/fault_env.h"
#include "env/mem_env.h"
#include "snapshot/test_golden.h"

namespace arima::snapshot {
namespace {

using ::testing::HasSubstr;

Manifest SomeManifest() {
  Manifest manifest;
  manifest.snapshot_id = 0x0102030405060708;
  manifest.cluster_id.bytes[0] = 0xC1;
  manifest.cluster_id.bytes[15] = 0x1D;
  manifest.index = 1000;
  manifest.term = 7;
  manifest.conf = "conf";
  manifest.engine = "rocksdb";
  manifest.engine_version = "7.8.3";
  manifest.files = {{"000012.sst", 4096, {1, 2}}, {"CURRENT", 16, {3, 4}}, {"EMPTY", 0, {5, 6}}};
  return manifest;
}
Manifest LeastManifest() {
  Manifest manifest;
  manifest.index = 1;
  return manifest;
}

// Encodes what EncodeManifest would refuse.
std::string EncodeAnyway(const Manifest& manifest, uint32_t version = 1, uint32_t more_files = 0) {
  std::string bytes = "ARIMASNP";
  ByteWriter writer(&bytes);
  writer.U32(version);
  writer.U64(manifest.snapshot_id);
  const auto& id = manifest.cluster_id.bytes;
  writer.Raw({reinterpret_cast<const char*>(id.data()), id.size()});
  writer.U64(manifest.index);
  writer.U64(manifest.term);
  writer.Bytes(manifest.conf);
  writer.Bytes(manifest.engine);
  writer.Bytes(manifest.engine_version);
  writer.U32(static_cast<uint32_t>(manifest.files.size()) + more_files);
  for (const SnapshotFile& file : manifest.files) {
    writer.Bytes(file.name);
    writer.U64(file.bytes);
    writer.U64(file.hash.low);
    writer.U64(file.hash.high);
  }
  writer.U64(Checksum64(bytes));
  return bytes;
}

Code CodeOf(const std::string& bytes) {
  auto manifest = DecodeManifest(bytes);
  return manifest ? Code::kInternal : manifest.error().code;
}
Code CodeOf(const Manifest& manifest) { return CodeOf(EncodeAnyway(manifest)); }

Manifest WithNames(const std::vector<std::string>& names) {
  Manifest manifest = LeastManifest();
  for (const std::string& name : names) manifest.files.push_back({name, 0, {}});
  return manifest;
}

TEST(SnapshotManifest, TheBytesStayAsTheyAre) {
  ExpectGolden(
      ARIMA_SOURCE_DIR "/testdata/manifests_v1.txt",
      {{"some", EncodeManifest(SomeManifest())}, {"least", EncodeManifest(LeastManifest())}});
  EXPECT_EQ(EncodeManifest(SomeManifest()), EncodeAnyway(SomeManifest()));
}

TEST(SnapshotManifest, ComesBackAsItWas) {
  for (const Manifest& manifest : {SomeManifest(), LeastManifest()}) {
    auto back = DecodeManifest(EncodeManifest(manifest));
    ASSERT_TRUE(back) << back.error().ToString();
    EXPECT_EQ(*back, manifest);
  }
  EXPECT_EQ(SomeManifest().TotalBytes(), 4112u);
}

TEST(SnapshotManifest, CutOrChangedAnywhereItIsRefused) {
  const std::string bytes = EncodeManifest(SomeManifest());
  for (size_t size = 0; size < bytes.size(); ++size) {
    EXPECT_EQ(CodeOf(bytes.substr(0, size)), Code::kCorruption) << size;
  }
  for (size_t bit = 0; bit < bytes.size() * 8; ++bit) {
    std::string changed = bytes;
    changed[bit / 8] = static_cast<char>(changed[bit / 8] ^ (1 << bit % 8));
    const bool in_version = bit / 8 >= 8 && bit / 8 < 12;
    EXPECT_EQ(CodeOf(changed), in_version ? Code::kNotSupported : Code::kCorruption) << bit;
  }
  EXPECT_EQ(CodeOf(bytes + "x"), Code::kCorruption);
}

// With the right checksum: a sender that means it.
TEST(SnapshotManifest, LaterVersionsAreNotSupported) {
  for (uint32_t version : {0u, 2u, 0xFFFFFFFFu}) {
    EXPECT_EQ(CodeOf(EncodeAnyway(SomeManifest(), version)), Code::kNotSupported);
  }
}

TEST(SnapshotManifest, ItsLimitsHold) {
  Manifest manifest = LeastManifest();
  manifest.index = 0;
  EXPECT_EQ(CodeOf(manifest), Code::kCorruption);
  manifest = LeastManifest();
  manifest.conf.resize(kConfBytesMax);
  EXPECT_TRUE(DecodeManifest(EncodeManifest(manifest)));
  manifest.conf.resize(kConfBytesMax + 1);
  EXPECT_EQ(CodeOf(manifest), Code::kTooLarge);
  manifest = LeastManifest();
  manifest.engine.resize(kEngineTextBytesMax + 1);
  EXPECT_EQ(CodeOf(manifest), Code::kTooLarge);
  manifest = LeastManifest();
  manifest.engine_version.resize(kEngineTextBytesMax + 1);
  EXPECT_EQ(CodeOf(manifest), Code::kTooLarge);
  EXPECT_EQ(CodeOf(std::string(kManifestBytesMax + 1, 'x')), Code::kTooLarge);
}

TEST(SnapshotManifest, ACountOfFilesIsNotBelieved) {
  EXPECT_EQ(CodeOf(EncodeAnyway(SomeManifest(), 1, 1)), Code::kCorruption);
  EXPECT_EQ(CodeOf(EncodeAnyway(SomeManifest(), 1, 200'000)), Code::kCorruption);
  EXPECT_EQ(CodeOf(EncodeAnyway(SomeManifest(), 1, kManifestFilesMax)), Code::kTooLarge);
}

TEST(SnapshotManifest, SumsOfSizesDoNotOverflow) {
  Manifest manifest = WithNames({"a", "b"});
  manifest.files[0].bytes = (uint64_t{1} << 63) - 1;
  EXPECT_TRUE(DecodeManifest(EncodeAnyway(manifest)));
  manifest.files[1].bytes = 1;
  EXPECT_EQ(CodeOf(manifest), Code::kTooLarge);
  manifest.files[1].bytes = UINT64_MAX;
  EXPECT_EQ(CodeOf(manifest), Code::kTooLarge);
}

TEST(SnapshotManifest, NamesStandInOrderOnceAndStayInTheDirectory) {
  EXPECT_TRUE(DecodeManifest(EncodeAnyway(WithNames({"a", "a.b", "b"}))));
  EXPECT_EQ(CodeOf(WithNames({"b", "a"})), Code::kCorruption);
  EXPECT_EQ(CodeOf(WithNames({"a", "a"})), Code::kCorruption);
  const std::string longest(kFileNameBytesMax, 'x');
  EXPECT_TRUE(DecodeManifest(EncodeAnyway(WithNames({longest}))));
  const std::string zero("a\0b", 3);
  for (const std::string& name :
       {std::string(), std::string("."), std::string(".."), std::string("../x"), std::string("a/b"),
        std::string("/x"), std::string(".snapshot"), std::string(".part-1"), std::string("a b"),
        std::string("\xC3\xA4"), zero, longest + "x"}) {
    EXPECT_FALSE(IsFileName(name)) << name;
    EXPECT_EQ(CodeOf(WithNames({name})), Code::kCorruption) << name;
  }
}

class DescribeTest : public ::testing::Test {
 protected:
  DescribeTest() { EXPECT_TRUE(mem_.MakeDir("/dir")); }
  void Write(const std::string& name, std::string_view bytes) {
    ASSERT_TRUE(env::WriteFileAtomically(mem_, "/dir/" + name, bytes));
  }
  env::MemEnv mem_;
};

TEST_F(DescribeTest, SaysNameSizeAndHashOfEachFile) {
  const std::string large(2'500'000, 'l');
  Write("b", "bytes");
  Write("a", large);
  Write("c", "");
  std::vector<uint64_t> steps;
  const StepFn step = [&](uint64_t bytes) -> Status {
    steps.push_back(bytes);
    return {};
  };
  Manifest manifest;
  manifest.index = 1;
  manifest.files.push_back({"of before", 0, {}});
  ASSERT_TRUE(DescribeFiles(mem_, "/dir", step, &manifest));
  ASSERT_EQ(manifest.files.size(), 3u);
  EXPECT_EQ(manifest.files[0].name, "a");
  EXPECT_EQ(manifest.files[0].bytes, large.size());
  EXPECT_EQ(manifest.files[1].bytes, 5u);
  EXPECT_EQ(manifest.files[2].bytes, 0u);
  Hasher128 hasher;
  EXPECT_EQ(manifest.files[2].hash, hasher.Get());
  hasher.Update("bytes");
  EXPECT_EQ(manifest.files[1].hash, hasher.Get());
  uint64_t total = 0;
  for (uint64_t bytes : steps) {
    EXPECT_LE(bytes, 1u << 20) << "a sender is told, and can be stopped, often";
    total += bytes;
  }
  EXPECT_EQ(total, manifest.TotalBytes());
}

TEST_F(DescribeTest, StopsWhenToldTo) {
  Write("a", std::string(3'000'000, 'a'));
  const StepFn stop = [](uint64_t) -> Status { return Fail(Code::kUnavailable, "stopping"); };
  Manifest manifest;
  manifest.index = 1;
  EXPECT_EQ(DescribeFiles(mem_, "/dir", stop, &manifest).error().code, Code::kUnavailable);
  EXPECT_EQ(HashFile(mem_, "/dir/a", stop).error().code, Code::kUnavailable);
}

TEST_F(DescribeTest, WhatHasNoPlaceInASnapshotIsNamed) {
  Write("a", "x");
  ASSERT_TRUE(mem_.MakeDir("/dir/inner"));
  Manifest manifest;
  manifest.index = 1;
  Status status = DescribeFiles(mem_, "/dir", nullptr, &manifest);
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, Code::kNotSupported);
  EXPECT_THAT(status.error().message, HasSubstr("/dir/inner"));
  ASSERT_TRUE(mem_.RemoveDir("/dir/inner"));
  Write(".hidden", "x");
  EXPECT_EQ(DescribeFiles(mem_, "/dir", nullptr, &manifest).error().code, Code::kNotSupported);
  EXPECT_EQ(DescribeFiles(mem_, "/none", nullptr, &manifest).error().code, Code::kNotFound);
}

TEST_F(DescribeTest, AReadThatFailsNamesItsFile) {
  Write("a", "x");
  Write("b", "y");
  env::FaultEnv sick(mem_, 1);
  sick.Inject({.op = env::Op::kRead, .path_part = "/dir/b"});
  Manifest manifest;
  manifest.index = 1;
  Status status = DescribeFiles(sick, "/dir", nullptr, &manifest);
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, Code::kIo);
  EXPECT_THAT(status.error().message, HasSubstr("/dir/b"));
}

// What the fuzzer starts from.
TEST(SnapshotManifest, TheSeedsOfTheFuzzerAreTheseManifests) {
  ExpectSeeds(
      ARIMA_SOURCE_DIR "/../../fuzz/corpus/snapshot_manifest",
      {{"some", EncodeManifest(SomeManifest())}, {"least", EncodeManifest(LeastManifest())}});
}

}  // namespace
}  // namespace arima::snapshot
