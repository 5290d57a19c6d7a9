// Package api is the public HTTP contract of Codeword: the JSON documents that
// cross the wire, every error code a caller can meet, the names of headers and
// paths, and the OpenAPI description of it all.
//
// The package imports nothing but the standard library, so that a caller can
// use it without taking on anything else. Services written in Go normally use
// package client, which speaks in these types.
//
// openapi.yaml is the source of the description. openapi.json is generated
// from it and committed; a test fails when the two disagree.
package api

//go:generate go test -run ^TestOpenAPIJSON$ -update .
