# Golden tests: `ctest -L golden` checks the files of tests/data/golden, and those of $FER_GOLDEN_DIR (or of
# ../shared/golden) if there are any. Each tests/golden/<name>_golden_test.cpp is a program and a CTest test of its own.

file(GLOB golden_tests CONFIGURE_DEPENDS golden/*_golden_test.cpp)
foreach(source IN LISTS golden_tests)
  get_filename_component(name ${source} NAME_WE)
  string(REPLACE "_golden_test" "" name ${name})
  set(sources ${source} golden/main.cpp)
  set(floors fer_inference)
  if(name STREQUAL "ops")
    list(APPEND sources golden/op_case.cpp golden/op_runners.cpp)
    set(floors fer_autograd fer_formats)
  elseif(name STREQUAL "files")
    set(floors "")
  endif()
  add_executable(test_golden_${name} ${sources})
  target_link_libraries(test_golden_${name} PRIVATE ${floors} doctest::doctest fer_build_flags fer_test_paths)
  target_compile_options(test_golden_${name} PRIVATE $<$<BOOL:${FER_QUICK}>:-O1>)
  set(filter "")
  if(name STREQUAL "model" AND FER_SIMT)
    set(filter "--subcase-exclude=simt*")  # see below
  endif()
  add_test(NAME golden_${name} COMMAND test_golden_${name} ${filter})
  set_tests_properties(golden_${name} PROPERTIES LABELS golden ENVIRONMENT OMP_WAIT_POLICY=passive)
endforeach()

# On the executor, the golden tests of models take minutes. The slowest are separate CTest tests, so that `ctest -j` can
# run them in parallel; one more test covers all other files in the folders. Sanitizers make the executor ten times
# slower; with them, only the variant with the most kinds of layers runs there.
if(FER_SIMT AND TARGET test_golden_model)
  function(fer_golden_on_simt name)
    add_test(NAME golden_simt_${name} COMMAND test_golden_model "--test-case=golden: models,golden: the real landmark net"
             ${ARGN})
    set_tests_properties(golden_simt_${name} PROPERTIES LABELS "golden;simt" ENVIRONMENT OMP_WAIT_POLICY=passive)
  endfunction()
  if(FER_SANITIZE)
    message(STATUS "fer: of the golden models, device simt runs model_tiny_extras alone under sanitizers")
    fer_golden_on_simt(tiny_extras "--subcase=simt model_tiny_extras.safetensors*")
  else()
    fer_golden_on_simt(tiny_float64 "--subcase=simt *model_tiny.safetensors float64")
    fer_golden_on_simt(tiny_float32 "--subcase=simt *model_tiny.safetensors float32")
    fer_golden_on_simt(paper "--subcase=simt *model_paper.safetensors*")
    # Once more with the shared memory per block of GPUs of compute capability 8.6, 8.9 and 12.0.
    fer_golden_on_simt(paper_99k "--subcase=simt model_paper.safetensors*")
    set_property(TEST golden_simt_paper_99k APPEND PROPERTY ENVIRONMENT FER_SIMT_SHARED_LIMIT=99)
    fer_golden_on_simt(others "--subcase=simt*"
                       "--subcase-exclude=simt *model_tiny.safetensors*,simt *model_paper.safetensors*")
  endif()
endif()

# If PyTorch is installed, checks that it still produces the repository's files.
fer_python_test(golden_made "golden;export" ${CMAKE_CURRENT_SOURCE_DIR}/golden/make_golden.py --check)
