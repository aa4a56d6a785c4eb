// A finished snapshot in its directory: how it is recognised after a restart, checked, and turned
// into an ordinary database. Layout: FORMAT.md section 4.
//
// Functions of the directory, any thread; nobody else may change the directory meanwhile.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "base/error.h"
#include "env/env.h"
#include "kv/databases.h"
#include "snapshot/manifest.h"

namespace arima::snapshot {

// In the directory of a finished snapshot, beside the database's files. Remove it (ForgetFinished)
// before a database is opened for writing there: from then on the manifest no longer describes it.
inline constexpr std::string_view kStoredManifestName = ".snapshot";

// The last check of the files: that they are the database which the manifest describes. `step` is
// called between pieces of work and its error returned.
using VerifyFn =
    std::function<Status(const std::string& dir, const Manifest& manifest, const StepFn& step)>;

// The check of production: the database opens, its applied record has the manifest's index, term,
// configuration and cluster, and every block of every table has its checksum. kCorruption if not.
Status VerifyDatabase(const std::string& dir, const Manifest& manifest, const StepFn& step);
// The same, of databases of another kind; they outlive the function.
VerifyFn VerifyDatabaseOf(kv::Databases* databases);

// Says, durably, that all files of `manifest` lie in `dir`, durable and verified.
Status StoreFinished(env::Env& env, const std::string& dir, const Manifest& manifest);

// The manifest of the finished snapshot in `dir`; kNotFound if there is none. Cheap: that every
// file is there with its size is all that is compared. Whoever installs what another life has
// received calls VerifyFinished too.
Result<Manifest> ReadFinished(env::Env& env, const std::string& dir);

// Hashes every file of the finished snapshot in `dir`, then runs `verify`. kCorruption names what
// is wrong; nothing is changed.
Status VerifyFinished(env::Env& env, const std::string& dir, const Manifest& manifest,
                      const StepFn& step = nullptr, const VerifyFn& verify = VerifyDatabase);

// Makes `dir` an ordinary database directory: durably without its stored manifest. Ok if it has
// none.
Status ForgetFinished(env::Env& env, const std::string& dir);

}  // namespace arima::snapshot
