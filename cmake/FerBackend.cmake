# fer_backend_overrides(HEADER FOLDER): what follows from the list of functions in backend.h, so that it stands there
# alone. FOLDER/backend_overrides.inc declares an override of each pure virtual function, for the class of a device;
# FOLDER/idle_backend.inc defines each that returns nothing as one that does nothing.
function(fer_backend_overrides header folder)
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${header})
  file(READ ${header} text)
  string(REGEX REPLACE "//[^\n]*" "" text "${text}")
  string(REPLACE "= 0;" "@" text "${text}")  # a semicolon would end an element of a list
  string(REGEX MATCHALL "virtual [^;{}@]*@" functions "${text}")
  set(overrides "")
  set(idle "")
  foreach(declaration IN LISTS functions)
    string(REGEX REPLACE "virtual ([^@]*) @" "\\1" signature "${declaration}")
    string(REGEX REPLACE "[ \n]+" " " signature "${signature}")
    string(APPEND overrides "${signature} override;\n")
    if(signature MATCHES "^void [a-z]")
      string(APPEND idle "${signature} override {}\n")
    endif()
  endforeach()
  file(CONFIGURE OUTPUT ${folder}/backend_overrides.inc CONTENT "${overrides}" @ONLY)
  file(CONFIGURE OUTPUT ${folder}/idle_backend.inc CONTENT "${idle}" @ONLY)
endfunction()
