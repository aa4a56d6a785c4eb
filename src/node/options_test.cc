#include "node/options.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <set>
#include <sstream>

#include "node/option_table.h"

namespace arima::node {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

OptionSources Sources(std::vector<std::string> environment = {}, std::string file = {}) {
  OptionSources sources;
  sources.environment = std::move(environment);
  sources.read_file = [file = std::move(file)](const std::string& path) -> Result<std::string> {
    if (path != "arima.toml") return Fail(Code::kInvalidArgument, "config: cannot read " + path);
    return file;
  };
  return sources;
}

Options Resolve(const std::vector<std::string>& args, const OptionSources& sources = Sources()) {
  const Result<Resolved> resolved = ResolveOptions(args, sources);
  EXPECT_TRUE(resolved.has_value()) << resolved.error().message;
  return resolved ? resolved->options : Options{};
}

std::string Refusal(const std::vector<std::string>& args,
                    const OptionSources& sources = Sources()) {
  const Result<Resolved> resolved = ResolveOptions(args, sources);
  if (resolved) return "accepted";
  EXPECT_EQ(resolved.error().code, Code::kInvalidArgument);
  EXPECT_EQ(resolved.error().message.find('\n'), std::string::npos) << "one line";
  return resolved.error().message;
}

const ResolvedOption& Value(const Resolved& resolved, std::string_view name) {
  return *std::ranges::find(resolved.values, name,
                            [](const ResolvedOption& value) { return value.spec->name; });
}

TEST(Options, NothingGivenIsTheDocumentedDefault) {
  const Options options = Resolve({});
  EXPECT_EQ(options.server_port, 2221);
  EXPECT_EQ(options.node_id, "n1");
  EXPECT_EQ(options.raft_port, 1111);
  EXPECT_EQ(options.volume_dir, "./arima-data");
  EXPECT_EQ(options.election_timeout_ms, 400u);
  EXPECT_EQ(options.heartbeat_interval_ms, 50u);
  EXPECT_EQ(options.request_timeout_ms, 5000u);
  EXPECT_EQ(options.max_value_bytes, 1536u << 10);
  EXPECT_EQ(options.max_body_bytes, 16u << 20);
  EXPECT_EQ(options.http_threads, 0u);
  EXPECT_EQ(options.log_level, "info");
  EXPECT_EQ(options.log_format, "text");
  EXPECT_EQ(options.server_address, "");
}

TEST(Options, PublishedFlagsAndTheirAliasesMeanTheSame) {
  const Options by_name = Resolve({"--server-port", "2222", "--node-id", "n2", "--raft-port",
                                   "1112", "--volume-dir", "/tmp/arima/n2"});
  const Options by_alias = Resolve({"-s", "2222", "-i", "n2", "-r", "1112", "-v", "/tmp/arima/n2"});
  const Options by_equals = Resolve(
      {"--server-port=2222", "--node-id=n2", "--raft-port=1112", "--volume-dir=/tmp/arima/n2"});
  for (const Options& options : {by_name, by_alias, by_equals}) {
    EXPECT_EQ(options.server_port, 2222);
    EXPECT_EQ(options.node_id, "n2");
    EXPECT_EQ(options.raft_port, 1112);
    EXPECT_EQ(options.volume_dir, "/tmp/arima/n2");
  }
}

TEST(Options, FlagBeatsEnvironmentBeatsFileBeatsDefault) {
  const std::string file = "server-port = 3001\nraft-port = 3002\nnode-id = \"file\"\n";
  const Result<Resolved> resolved = ResolveOptions(
      {"--config", "arima.toml", "--server-port", "5001"},
      Sources({"ARIMA_SERVER_PORT=4001", "ARIMA_RAFT_PORT=4002", "HOME=/root"}, file));
  ASSERT_TRUE(resolved.has_value()) << resolved.error().message;
  EXPECT_EQ(resolved->options.server_port, 5001);
  EXPECT_EQ(resolved->options.raft_port, 4002);
  EXPECT_EQ(resolved->options.node_id, "file");

  EXPECT_EQ(Value(*resolved, "server-port").origin, Origin::kFlag);
  EXPECT_EQ(Value(*resolved, "server-port").where, "flag --server-port");
  EXPECT_EQ(Value(*resolved, "raft-port").origin, Origin::kEnvironment);
  EXPECT_EQ(Value(*resolved, "raft-port").where, "environment ARIMA_RAFT_PORT");
  EXPECT_EQ(Value(*resolved, "node-id").origin, Origin::kFile);
  EXPECT_EQ(Value(*resolved, "node-id").where, "arima.toml line 3");
  EXPECT_EQ(Value(*resolved, "log-level").origin, Origin::kDefault);
  EXPECT_EQ(resolved->values.size(), OptionTable().size());
}

TEST(Options, FileIsNamedByFlagOrEnvironment) {
  const std::string file = "log-level = \"debug\"\nmax-value-bytes = \"2MiB\"\n";
  EXPECT_EQ(Resolve({}, Sources({"ARIMA_CONFIG=arima.toml"}, file)).max_value_bytes, 2u << 20);
  EXPECT_EQ(Resolve({"--config=arima.toml"}, Sources({"ARIMA_CONFIG=none"}, file)).log_level,
            "debug");
  EXPECT_THAT(Refusal({"--config", "none.toml"}), HasSubstr("none.toml"));
}

TEST(Options, MistakesNameOptionOriginAndWhatIsAllowed) {
  EXPECT_EQ(Refusal({"--server-port", "abc"}),
            "flag --server-port: \"abc\" is not a number; server-port takes 1 to 65535");
  EXPECT_EQ(Refusal({"-s", "70000"}),
            "flag --server-port: \"70000\" is out of range; server-port takes 1 to 65535");
  EXPECT_EQ(Refusal({}, Sources({"ARIMA_RAFT_PORT=0"})),
            "environment ARIMA_RAFT_PORT: \"0\" is out of range; raft-port takes 1 to 65535");
  EXPECT_EQ(Refusal({"--config", "arima.toml"}, Sources({}, "\nelection-timeout = \"5\"\n")),
            "arima.toml line 2: \"5\" has no unit, it is not a duration such as 250ms or 5s; "
            "election-timeout takes 100ms to 1m");
  EXPECT_EQ(Refusal({"--log-format", "xml"}),
            "flag --log-format: \"xml\" is not allowed; log-format takes text or json");
  EXPECT_EQ(Refusal({"--node-id", "a b"}),
            "flag --node-id: \"a b\" is not allowed; node-id takes 1 to 64 letters, digits, dots, "
            "dashes or underscores");
}

TEST(Options, ValueHiddenByAStrongerOriginIsCheckedToo) {
  EXPECT_THAT(Refusal({"--raft-port", "1111"}, Sources({"ARIMA_RAFT_PORT=x"})),
              StartsWith("environment ARIMA_RAFT_PORT"));
}

TEST(Options, UnknownFlagsAndArgumentsAreRefused) {
  for (const std::vector<std::string>& args :
       std::vector<std::vector<std::string>>{{"--sever-port", "1"},
                                             {"extra"},
                                             {"-x"},
                                             {"--server-port"},
                                             {"--server-port", "1", "--server-port", "2"},
                                             {"--", "extra"}}) {
    EXPECT_THAT(Refusal(args), HasSubstr("arima run --help")) << args.front();
  }
}

TEST(Options, FlagMistakesReadAsOneSentence) {
  EXPECT_EQ(Refusal({"--sever-port", "1"}),
            "\"--sever-port\" is not a flag of arima run (arima run --help lists them)");
  EXPECT_EQ(Refusal({"-s"}),
            "--server-port: 1 required PORT missing (arima run --help lists the flags)");
}

TEST(Options, FileThatCannotBeReadIsRefused) {
  const OptionSources sources = ProcessOptionSources();
  EXPECT_THAT(Refusal({"--config", "/nonexistent"}, sources),
              HasSubstr("cannot read /nonexistent: No such file or directory"));
  EXPECT_THAT(Refusal({"--config", "/"}, sources), HasSubstr("cannot read /: Is a directory"));
}

TEST(Options, FileWithUnknownKeyWrongTypeOrBadSyntaxIsRefusedWithItsLine) {
  const std::vector<std::string> args = {"--config", "arima.toml"};
  EXPECT_EQ(Refusal(args, Sources({}, "server-port = 1\nsever-port = 2\n")),
            "arima.toml line 2: there is no option \"sever-port\" (arima run --help lists them)");
  EXPECT_EQ(Refusal(args, Sources({}, "server-port = true\n")),
            "arima.toml line 1: server-port must be a string or a whole number");
  EXPECT_EQ(Refusal(args, Sources({}, "server-port = -1\n")),
            "arima.toml line 1: \"-1\" is not a number; server-port takes 1 to 65535");
  EXPECT_THAT(Refusal(args, Sources({}, "\n\nserver-port = \n")), StartsWith("arima.toml line 3"));
  EXPECT_THAT(Refusal(args, Sources({}, "[server]\nport = 1\n")), HasSubstr("\"server\""));
}

TEST(Options, ASwitchIsTheFlagAloneOrTrueOrFalseAnywhere) {
  auto accepts = [](const std::vector<std::string>& args, const OptionSources& sources) {
    auto resolved = ResolveOptions(args, sources);
    EXPECT_TRUE(resolved) << resolved.error().message;
    return resolved && resolved->options.accept_data_loss;
  };
  EXPECT_FALSE(accepts({}, Sources({})));
  EXPECT_TRUE(accepts({"--accept-data-loss"}, Sources({})));
  EXPECT_TRUE(accepts({"--accept-data-loss", "--node-id", "n7"}, Sources({})));
  EXPECT_FALSE(accepts({"--accept-data-loss=false"}, Sources({"ARIMA_ACCEPT_DATA_LOSS=true"})));
  EXPECT_TRUE(accepts({}, Sources({"ARIMA_ACCEPT_DATA_LOSS=true"})));
  EXPECT_TRUE(accepts({"--config", "arima.toml"}, Sources({}, "accept-data-loss = true\n")));
  EXPECT_THAT(Refusal({"--accept-data-loss=yes"}, Sources({})), HasSubstr("true or false"));
}

TEST(Options, EmptyValueIsAMistakeNotADefault) {
  EXPECT_THAT(Refusal({}, Sources({"ARIMA_NODE_ID="})), HasSubstr("ARIMA_NODE_ID"));
  EXPECT_THAT(Refusal({"--server-address="}), HasSubstr("server-address"));
}

TEST(Options, VariableThatNamesNoOptionIsAWarning) {
  const Result<Resolved> resolved = ResolveOptions({}, Sources({"ARIMA_SEVER_PORT=1", "PATH=/"}));
  ASSERT_TRUE(resolved.has_value());
  EXPECT_THAT(resolved->warnings, testing::ElementsAre(HasSubstr("ARIMA_SEVER_PORT")));
}

TEST(Options, WhatAMessageQuotesStaysOnItsLine) {
  const std::vector<std::string> args = {"--config", "arima.toml"};
  EXPECT_EQ(Refusal(args, Sources({}, "server-port = \"1\\n2\\u007f\"\n")),
            "arima.toml line 1: \"1\\x0a2\\x7f\" is not a number; server-port takes 1 to 65535");
  EXPECT_THAT(Refusal(args, Sources({}, "\"a\\nb\" = 1\n")), HasSubstr("\"a\\x0ab\""));
  EXPECT_THAT(Refusal({}, Sources({"ARIMA_RAFT_PORT=1\n2"})), HasSubstr("\"1\\x0a2\""));
  EXPECT_THAT(Refusal({"--raft-port=1\r2"}), HasSubstr("\"1\\x0d2\""));
  const Result<Resolved> resolved = ResolveOptions({}, Sources({"ARIMA_A\nB=1"}));
  ASSERT_TRUE(resolved.has_value());
  EXPECT_THAT(resolved->warnings, testing::ElementsAre(HasSubstr("ARIMA_A\\x0aB")));
}

TEST(Options, ValuesThatContradictEachOtherAreRefused) {
  EXPECT_THAT(Refusal({"--heartbeat-interval", "200ms"}), HasSubstr("election-timeout"));
  EXPECT_EQ(
      Resolve({"--heartbeat-interval", "200ms", "--election-timeout", "1s"}).heartbeat_interval_ms,
      200u);
  EXPECT_THAT(Refusal({"--max-body-bytes", "1MiB"}), HasSubstr("max-value-bytes"));
  EXPECT_THAT(Refusal({"--log-retain-max", "512MiB"}), HasSubstr("log-retain-bytes"));
  EXPECT_THAT(Refusal({"--raft-port", "2221"}), HasSubstr("both 2221"));
  EXPECT_THAT(Refusal({"--raft-address", "0.0.0.0"}), HasSubstr("raft-advertise"));
}

TEST(Options, AddressesAreDerivedFromWhatWasNamed) {
  const Options plain = Resolve({});
  EXPECT_EQ(plain.RaftListenHost(), "");
  EXPECT_EQ(plain.RaftAdvertised(), "127.0.0.1:1111");
  EXPECT_EQ(plain.HttpAdvertised(), "127.0.0.1:2221");
  EXPECT_FALSE(plain.RaftAdvertisedByOperator());
  EXPECT_FALSE(plain.RaftIsOpen());
  EXPECT_FALSE(plain.HttpIsOpen());

  const Options open = Resolve({"--raft-address", "10.0.0.7", "--server-address", "0.0.0.0"});
  EXPECT_EQ(open.RaftListenHost(), "10.0.0.7");
  EXPECT_EQ(open.RaftAdvertised(), "10.0.0.7:1111");
  EXPECT_EQ(open.HttpAdvertised(), "127.0.0.1:2221");
  EXPECT_TRUE(open.RaftAdvertisedByOperator());
  EXPECT_TRUE(open.RaftIsOpen());
  EXPECT_TRUE(open.HttpIsOpen());

  const Options split = Resolve({"--raft-listen", "0.0.0.0", "--raft-advertise", "db1.example:7000",
                                 "--server-address", "::", "--server-advertise", "[2001:db8::1]"});
  EXPECT_EQ(split.RaftListenHost(), "0.0.0.0");
  EXPECT_EQ(split.RaftAdvertised(), "db1.example:7000");
  EXPECT_EQ(split.HttpAdvertised(), "[2001:db8::1]:2221");

  EXPECT_EQ(Resolve({"--raft-advertise", "fe80::1"}).RaftAdvertised(), "[fe80::1]:1111");
  for (const char* bad : {"host:", ":1", "host:0", "host:65536", "[::1", "[::1]x", "a b", "a/b"}) {
    EXPECT_THAT(Refusal({"--raft-advertise", bad}), HasSubstr("HOST or HOST:PORT")) << bad;
  }
}

TEST(Options, HelpFlagStopsEverythingElse) {
  for (const char* flag : {"--help", "-h"}) {
    const Result<Resolved> resolved = ResolveOptions({"--server-port", "abc", flag}, Sources());
    ASSERT_TRUE(resolved.has_value());
    EXPECT_TRUE(resolved->help);
  }
}

TEST(OptionTable, NamesAndAliasesAreUniqueAndDefaultsAreValid) {
  std::set<std::string_view> names = {"config", "help", "h"};
  for (const OptionSpec& spec : OptionTable()) {
    EXPECT_TRUE(names.insert(spec.name).second) << spec.name;
    if (!spec.alias.empty()) {
      EXPECT_TRUE(names.insert(spec.alias).second) << spec.alias;
    }
    EXPECT_FALSE(spec.help.empty());
    EXPECT_FALSE(spec.help.ends_with('.')) << "help is a phrase: " << spec.name;
    Options options;
    if (!spec.default_text.empty()) {
      EXPECT_TRUE(StoreOption(spec, spec.default_text, "", &options).has_value()) << spec.name;
    }
  }
}

TEST(OptionTable, HelpShowsNameEnvironmentDefaultAndRangeOfEachOption) {
  std::ostringstream out;
  PrintOptions(out);
  for (const OptionSpec& spec : OptionTable()) {
    EXPECT_THAT(out.str(), HasSubstr("--" + std::string(spec.name)));
    EXPECT_THAT(out.str(), HasSubstr("[$" + EnvironmentName(spec) + "]"));
    EXPECT_THAT(out.str(), HasSubstr(AllowedValues(spec)));
  }
  EXPECT_THAT(out.str(),
              HasSubstr("   --server-port PORT, -s PORT  (default: 2221; 1 to 65535)\n"));
}

// testdata/run_help.txt is what `arima run --help` prints under OPTIONS.
TEST(OptionTable, HelpIsTheGoldenText) {
  std::ifstream file(std::string(ARIMA_SOURCE_DIR) + "/testdata/run_help.txt");
  std::ostringstream golden;
  golden << file.rdbuf();
  std::ostringstream out;
  PrintOptions(out);
  EXPECT_EQ(out.str(), golden.str());
}

}  // namespace
}  // namespace arima::node
