#include <doctest/doctest.h>

#include "fer/nearest.h"

using fer::nearest;
using fer::unknown_name;

TEST_CASE("nearest: letters changed, left out, put in or swapped; two of four make another word") {
  const std::vector<std::string> known{"--lr", "--epochs", "--batch-size", "--seed"};
  CHECK(nearest("--lear", known) == "--lr");
  CHECK(nearest("--epcohs", known) == "--epochs");
  CHECK(nearest("--bathsize", known) == "--batch-size");
  CHECK(nearest("--quiet", known) == "");
  CHECK(nearest("tets", {"train", "test"}) == "test");
  CHECK(nearest("mean", {"max", "sum"}) == "");
  CHECK(nearest("sgb", {"adam", "sgd"}) == "sgd");
  CHECK(nearest("", {"a", "bc"}) == "");
  CHECK(nearest("abc", {}) == "");
}

TEST_CASE("nearest: the first of several equally near words") {
  CHECK(nearest("stage9", {"stage1", "stage2"}) == "stage1");
  CHECK(nearest("adamw", {"adam", "adamw"}) == "adamw");
}

TEST_CASE("unknown_name lists what is known, and what was probably meant") {
  CHECK(unknown_name("fruit", "aple", {"apple", "pear"}) ==
        "unknown fruit 'aple'; known are apple, pear; did you mean 'apple'?");
  CHECK(unknown_name("fruit", "kiwi", {"apple", "pear"}) == "unknown fruit 'kiwi'; known are apple, pear");
  // A name may come from a file, so it is made printable.
  CHECK(unknown_name("fruit", std::string(100, 'k'), {"apple"}) ==
        "unknown fruit '" + std::string(80, 'k') + "...'; known are apple");
  CHECK(unknown_name("fruit", std::string_view("k\0\x1b[31m", 7), {"apple"}) ==
        "unknown fruit 'k??[31m'; known are apple");
}
