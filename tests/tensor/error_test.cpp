#include "fer/error.h"

#include <doctest/doctest.h>

#include <thread>

namespace fer {
namespace {

TEST_CASE("require throws the type asked for, with its parts joined") {
  CHECK_NOTHROW(require<ShapeError>(true, "not thrown"));
  CHECK_THROWS_WITH_AS(require<ShapeError>(false, "got ", 3, ", not ", 4.5), "got 3, not 4.5", ShapeError);
  CHECK_THROWS_WITH_AS(require(false, "plain"), "plain", Error);
}

TEST_CASE("every error is a fer::Error and a std::runtime_error") {
  CHECK_THROWS_AS(throw TypeError("x"), Error);
  CHECK_THROWS_AS(throw DataError("x"), std::runtime_error);
}

TEST_CASE("errors name the module that was running") {
  CHECK(ModuleScope::path().empty());
  {
    const ModuleScope root("");  // a model's root has no name and leaves no dot
    const ModuleScope attention("attention");
    const ModuleScope block("blocks"), index("0");
    CHECK(ModuleScope::path() == "attention.blocks.0");
    CHECK_THROWS_WITH_AS(throw ShapeError("[matmul] shapes differ"),
                         "[matmul] shapes differ (in module attention.blocks.0)", ShapeError);
  }
  CHECK(ModuleScope::path().empty());
  CHECK_THROWS_WITH_AS(throw ShapeError("outside"), "outside", ShapeError);
}

TEST_CASE("the module path is a thread's own") {
  const ModuleScope here("here");
  std::string there = "not run";
  std::thread([&] { there = ModuleScope::path(); }).join();
  CHECK(there.empty());
  CHECK(ModuleScope::path() == "here");
}

TEST_CASE("an exception leaves the path as it was") {
  const ModuleScope outer("outer");
  try {
    const ModuleScope inner("inner");
    throw Error("x");
  } catch (const Error& error) {
    CHECK(std::string(error.what()) == "x (in module outer.inner)");
  }
  CHECK(ModuleScope::path() == "outer");
}

}  // namespace
}  // namespace fer
